// Package preflighttest makes exports of calls, as large as a test or a benchmark wants them.
package preflighttest

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// perPerson is how many calls a person has in an export: one visit without a userId, a sign-up, and what comes then.
const perPerson = 4

// begin is when the first person comes.
var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Export writes an archive of so many calls, a line each, with the fields and contexts that Segment's archives have. A quarter as
// many people make them. Their calls lie between each other, and a line may stand some seconds before its time. One person in a
// thousand signs up in a browser that somebody else has used.
func Export(to io.Writer, calls int, seed uint64) error {
	out := bufio.NewWriterSize(to, 1<<20)
	dice := rand.New(rand.NewPCG(seed, 3))
	const lanes = 1000 // people at once
	people := calls / perPerson
	for first := 0; first < people; first += lanes {
		for step := range perPerson {
			for person := first; person < min(first+lanes, people); person++ {
				at := begin.Add(time.Duration(first/lanes*perPerson+step)*time.Minute + time.Duration(dice.IntN(60_000))*time.Millisecond)
				if err := write(out, dice, person, step, at); err != nil {
					return err
				}
			}
		}
	}
	for n := people * perPerson; n < calls; n++ {
		if err := write(out, dice, 0, 3, begin.Add(time.Hour)); err != nil {
			return err
		}
	}
	return out.Flush()
}

// stranger is how many people use a browser of their own, to one who does not.
const stranger = 1000

func write(out *bufio.Writer, dice *rand.Rand, person, step int, at time.Time) error {
	device := person
	if person%stranger == stranger-1 {
		device = person - 1
	}
	anonymous := fmt.Sprintf("%08x-7c1e-4d2b-9a53-%012x", device*2654435761&0xffffffff, device)
	user := fmt.Sprintf("usr_%08d", person)
	kind, rest := "", ""
	switch step {
	case 0:
		kind, rest = "page", fmt.Sprintf(`"anonymousId":%q,"userId":null,"name":"Pricing","properties":{"path":"/pricing","title":"Pricing","url":"https://shop.example/pricing"}`, anonymous)
	case 1:
		kind, rest = "alias", fmt.Sprintf(`"anonymousId":%q,"previousId":%q,"userId":%q`, anonymous, anonymous, user)
	case 2:
		kind, rest = "identify", fmt.Sprintf(`"anonymousId":%q,"userId":%q,"traits":{"email":"%s@example.com","plan":"pro","logins":%d}`, anonymous, user, user, dice.IntN(90))
	default:
		kind, rest = "track", fmt.Sprintf(`"anonymousId":%q,"userId":%q,"event":"Order Completed","properties":{"order_id":"o-%d","total":%d.5,"currency":"EUR"}`, anonymous, user, dice.IntN(1<<30), dice.IntN(900))
	}
	text := at.Format("2006-01-02T15:04:05.000Z")
	_, err := fmt.Fprintf(out, `{"type":%q,%s,"messageId":"ajs-%016x%08x","channel":"client","context":{"ip":"203.0.113.%d","library":{"name":"analytics-node","version":"2.1.0"},"locale":"en-US",`+
		`"page":{"path":"/pricing","referrer":"https://search.example/","url":"https://shop.example/pricing"},"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"},`+
		`"integrations":{},"originalTimestamp":%q,"receivedAt":%q,"sentAt":%q,"timestamp":%q,"version":2,"projectId":"p1"}`+"\n",
		kind, rest, dice.Uint64(), person, dice.IntN(250), text, text, text, text)
	return err
}
