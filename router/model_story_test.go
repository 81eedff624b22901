package router

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// call is a call as an SDK sends it.
type call = map[string]any

// junkIDs identify no person in any call.
var junkIDs = map[string]bool{"null": true, "undefined": true, "anonymous": true, "0": true}

// household is people who share devices. What one of its people does, another may have to do with; no other household has.
type household struct {
	name    string
	dice    *rand.Rand
	people  []*character
	devices []*device
	calls   []call
	ids     int
	// careless people swap the arguments of aliases, and share an e-mail. Some of them have ids that are no e-mails.
	careless bool
}

// character is somebody in a story.
type character struct {
	number   int
	userID   string
	oldNames []string
}

// device is a browser or a phone, with the user who is logged in.
type device struct {
	anonymousID string
	user        *character
}

func newHousehold(number int, dice *rand.Rand, careless bool) *household {
	h := &household{name: fmt.Sprintf("h%d", number), dice: rand.New(rand.NewPCG(dice.Uint64(), 0)), careless: careless}
	people := 1 + h.dice.IntN(2)
	if careless {
		people += h.dice.IntN(4)
	}
	for i := range people {
		h.people = append(h.people, &character{number: i, userID: h.newUserID()})
	}
	for range 1 + h.dice.IntN(3) {
		h.devices = append(h.devices, &device{anonymousID: h.newAnonymousID()})
	}
	return h
}

// story returns exactly so many calls, in the order in which they are sent.
func (h *household) story(length int) []call {
	for len(h.calls) < length {
		h.step()
	}
	return h.calls[:length]
}

// step is something that happens on one of the devices.
func (h *household) step() {
	d := h.devices[h.dice.IntN(len(h.devices))]
	switch roll := h.dice.IntN(20); {
	case h.careless && h.dice.IntN(5) == 0:
		h.mistake(d)
	case roll < 2:
		h.junk(d)
	case d.user == nil && roll < 10:
		h.logIn(d)
	case d.user == nil:
		h.activity(d)
	case roll < 4:
		h.rename(d)
	case roll < 6:
		h.group(d)
	case roll < 8:
		h.logOut(d)
	case roll < 10:
		h.identify(d)
	case roll < 11:
		h.lateCall(d)
	default:
		h.activity(d)
	}
}

// activity is what may come in any order between two changes of identity.
func (h *household) activity(d *device) {
	c := h.from(d, []string{"track", "track", "page", "screen"}[h.dice.IntN(4)])
	switch c["type"] {
	case "track":
		c["event"] = []string{"Viewed", "Bought", "Rated"}[h.dice.IntN(3)]
	default:
		c["name"] = []string{"Home", "Prices"}[h.dice.IntN(2)]
	}
	if h.dice.IntN(10) == 0 {
		c["integrations"] = []call{
			{"All": false, "Vero": true}, {"Mixpanel": false}, {"Salesforce": true, "KISSmetrics": false},
			{"Vero": call{"tags": call{"add": []string{"tag-" + c["messageId"].(string)}}}},
		}[h.dice.IntN(4)]
	}
	h.add(c)
}

// logIn makes somebody known on a device: with an alias first, as SDKs for Mixpanel's legacy mode do it, or without.
func (h *household) logIn(d *device) {
	d.user = h.people[h.dice.IntN(len(h.people))]
	if h.dice.IntN(2) == 0 {
		c := h.from(d, "alias")
		c["previousId"] = d.anonymousID
		if h.dice.IntN(4) == 0 {
			delete(c, "previousId") // it is the anonymousId then
		}
		h.add(c)
	}
	h.identify(d)
}

// identify tells of traits that are the character's own. What a vendor takes for one person may still have two names that
// share no call, and nothing orders what is said under the one and under the other.
func (h *household) identify(d *device) {
	c := h.from(d, "identify")
	c["anonymousId"] = d.anonymousID // in Mixpanel's simplified mode, whose device it is hangs on what comes first under it
	c["traits"] = call{
		fmt.Sprint("plan", d.user.number):   []string{"free", "pro", "team"}[h.dice.IntN(3)],
		fmt.Sprint("visits", d.user.number): h.dice.IntN(1000),
	}
	h.add(c)
}

// rename gives the person on a device another userId, or that of somebody else, everywhere.
func (h *household) rename(d *device) {
	who := d.user
	next := h.newUserID()
	if h.dice.IntN(5) == 0 {
		next = h.people[h.dice.IntN(len(h.people))].userID
	}
	c := h.call("alias")
	c["previousId"], c["userId"] = who.userID, next
	h.add(c)
	if next != who.userID {
		who.oldNames = append(who.oldNames, who.userID)
		who.userID = next
	}
	h.identify(d)
}

func (h *household) group(d *device) {
	c := h.from(d, "group")
	c["groupId"] = "company-" + h.name
	c["traits"] = call{"company": "company-" + h.name, "size": h.dice.IntN(100)}
	h.add(c)
}

// logOut forgets who was there: with the device's id, as a reset does, or without.
func (h *household) logOut(d *device) {
	d.user = nil
	if h.dice.IntN(3) > 0 {
		d.anonymousID = h.newAnonymousID()
	}
}

// lateCall comes from where the person's new name has not got about yet.
func (h *household) lateCall(d *device) {
	if len(d.user.oldNames) == 0 {
		return
	}
	c := h.call("track")
	c["userId"], c["event"] = d.user.oldNames[h.dice.IntN(len(d.user.oldNames))], "Opened"
	h.add(c)
}

// junk is what badly written pages send: each of these would merge strangers.
func (h *household) junk(d *device) {
	c := h.from(d, "track")
	c["event"] = "Junk"
	switch h.dice.IntN(6) {
	case 0:
		c["userId"] = "null"
	case 1:
		c["userId"] = 0
	case 2:
		c["type"], c["previousId"], c["userId"] = "alias", "undefined", h.people[0].userID
	case 3:
		c["type"], c["previousId"], c["userId"] = "alias", h.people[0].userID, " "+h.people[0].userID
	case 4:
		c["type"], c["userId"], c["previousId"] = "alias", "Anonymous", d.anonymousID
	case 5:
		c["userId"] = strings.Repeat("x", 256)
	}
	h.add(c)
}

// mistake is an alias that makes one person of two, as pages with a mistake send it.
func (h *household) mistake(d *device) {
	who, shared := h.people[h.dice.IntN(len(h.people))], "family-"+h.name+"@example.com"
	c := h.call("alias")
	switch h.dice.IntN(5) {
	case 0: // swapped arguments
		c["previousId"], c["userId"] = who.userID, d.anonymousID
	case 1: // the device of the one who was there before
		c["previousId"], c["userId"] = d.anonymousID, who.userID
	case 2: // an e-mail that everybody gives
		c["previousId"], c["userId"] = who.userID, shared
	case 3:
		c["previousId"], c["userId"] = shared, who.userID
	case 4:
		c["previousId"], c["userId"] = who.userID, h.people[h.dice.IntN(len(h.people))].userID
	}
	if c["previousId"] == c["userId"] {
		c["userId"] = h.newUserID()
	}
	h.add(c)
}

// from is a call from a device, by the user who is logged in there.
func (h *household) from(d *device, callType string) call {
	c := h.call(callType)
	if d.user != nil {
		c["userId"] = d.user.userID
	}
	if d.user == nil || h.dice.IntN(4) > 0 {
		c["anonymousId"] = d.anonymousID
	}
	return c
}

// storyStart is when stories begin: long enough ago that none reaches the present.
var storyStart = time.Now().Add(-2 * time.Hour).UTC().Truncate(time.Second)

// call has what all calls have. Each has its own second and its own content, so that no vendor takes two for one.
func (h *household) call(callType string) call {
	h.ids++
	id := fmt.Sprintf("%s-%d", h.name, h.ids)
	return call{
		"type": callType, "messageId": id, "properties": call{"number": id},
		"timestamp": storyStart.Add(time.Duration(h.ids) * time.Second).Format(time.RFC3339),
	}
}

func (h *household) add(c call) { h.calls = append(h.calls, c) }

func (h *household) newUserID() string {
	h.ids++
	if h.careless && h.dice.IntN(3) > 0 {
		return fmt.Sprintf("user-%s-%d", h.name, h.ids)
	}
	return fmt.Sprintf("user-%s-%d@example.com", h.name, h.ids)
}

// newAnonymousID is a UUIDv4, as browsers make them, or the other sort of id, as some phones do.
func (h *household) newAnonymousID() string {
	h.ids++
	if h.dice.IntN(4) == 0 {
		return fmt.Sprintf("phone-%s-%d", h.name, h.ids)
	}
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", h.dice.Uint32(), h.ids, h.dice.IntN(0x1000), h.dice.IntN(0x1000), h.dice.Uint64N(1<<48))
}
