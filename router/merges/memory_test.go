package merges

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/destinations/simulator"
	"aka/router/httpclient"
	"aka/router/segment"
	"aka/router/strictyaml"
)

// memoryVendors are the vendors and their modes, each with the simulator's name for the mode.
var memoryVendors = []struct{ name, vendor, idMerge, settings string }{
	{"legacy", "mixpanel", "legacy", "{ token: t, id_merge: legacy }"},
	{"original", "mixpanel", "original", "{ token: t, id_merge: original }"},
	{"original create_alias", "mixpanel", "original", "{ token: t, id_merge: original, alias_strategy: create_alias }"},
	{"original identify", "mixpanel", "original", "{ token: t, id_merge: original, alias_strategy: identify }"},
	{"original merge", "mixpanel", "original", "{ token: t, id_merge: original, alias_strategy: merge, api_secret: s }"},
	{"simplified", "mixpanel", "simplified", "{ token: t, id_merge: simplified, link_on_alias: Linked, link_on_identify: Seen }"},
	{"kissmetrics", "kissmetrics", "", "{ api_key: k }"},
	{"kissmetrics on identify", "kissmetrics", "", "{ api_key: k, alias_on_identify: true }"},
	{"vero", "vero", "", "{ auth_token: t }"},
	{"customerio", "customerio", "", "{ site_id: s, api_key: k }"},
	{"segment", "segment", "", "{ write_key: k }"},
}

// Each story has one destination. In a line stand a call, what becomes of it, and which vendor's page says why. The
// ids d1 to d9 are devices', which the calls that name one first call anonymous.
var memoryStories = map[string]string{
	"legacy": `
		alias jane@x 17: send           a lookup from the new id to the old one
		alias jane@x 17: already_merged
		alias joe@x 17: alias_taken     an alias points to one distinct_id only
		alias jane@x 18: send           a distinct_id may have many
		alias 17 18: already_merged     both lead to jane@x
		alias 17 19: send               chains are allowed
		alias 19 jane@x: would_cycle
		alias zoe@x jane@x: send        jane@x led nowhere
		alias joe@x jane@x: alias_taken
		alias 17 zoe@x: would_cycle
		identify d1 17: send            it has no effect in this mode
		alias d1 17: alias_taken`,
	"original": `
		alias d1 jane: send             $identify gives the anonymous id to one user
		alias d1 jane: already_merged
		alias d1 joe: alias_taken
		alias d2 jane: send
		identify d3 joe: send           so does an identify
		alias d3 jane: alias_taken
		alias d3 joe: already_merged
		identify d1 joe: send           it is refused there, and no news here
		alias d1 joe: alias_taken
		alias jane jane@x: send         $create_alias gives the alias once
		alias jane jane@x: already_merged
		alias joe jane@x: alias_taken
		alias jane@x jane: send         jane was no alias yet, and is given so
		alias joe jane: alias_taken
		alias d1 jane@x: already_merged d1 is jane's, who is jane@x`,
	"original merge": `
		alias a b: send
		alias b a: already_merged
		alias b c: send
		alias a c: already_merged       $merge is refused for nothing but the size`,
	"simplified": `
		alias d1 jane: send             one event with both ids links them
		alias d1 jane: already_merged
		alias d1 joe: send              an event of joe's
		identify d2 joe: send
		alias d2 joe: already_merged
		alias jane joe: alias_unsupported_by_simplified_id_merge`,
	"kissmetrics": `
		alias a b: send
		alias b a: already_merged       the order does not matter
		alias b c: send
		identify d1 a: send             it merges only where the settings say so
		alias d1 a: send
		alias d1 a: already_merged`,
	"customerio": `
		alias a b: send                 b takes a in
		alias a b: already_merged
		alias b c: send
		alias a c: already_merged       a is gone, and was b
		track - a: send                 now there is an a again
		alias a c: send
		alias c a: send                 a is free: the identify before the merge makes it
		alias c a: already_merged
		track - c: send
		alias a c: send                 c is in use, and takes a in
		alias j@x.io J@X.io: same_ids   e-mails have no case
		alias J@X.io jane: send
		alias j@x.io jane: already_merged
		alias d1 jane: send             a device
		alias d1 jane: already_merged
		alias d1 joe: alias_taken       its first person has it
		identify d2 joe: send`,
	"segment": `
		alias a b: send                 what it asks for: one person with both ids
		alias b a: already_merged
		alias b c: send
		alias a c: already_merged
		alias d1 a: send                a device is an id like others
		alias d1 c: already_merged
		identify d2 a: send             no merge: what the upstream makes of it is not known
		alias d2 a: send
		alias d2 a: already_merged`,
	"kissmetrics on identify": `
		identify d1 a: send
		alias d1 a: already_merged
		alias a d1: already_merged`,
	"vero": `
		alias a b: send                 a rename
		alias a b: already_merged
		alias b c: send
		alias a c: already_merged       whom a named is c
		alias a d: send                 Vero says that there is no a
		track - a: send                 now there is, and it is somebody new
		alias a c: send
		alias c a: send                 a is free: that renames back
		alias c a: already_merged
		track - c: send
		alias a c: would_cycle          c has become a, and is somebody new
		track - x: send
		alias x y: send
		track - x: send
		alias y x: would_cycle          there is an x
		alias x z: send
		alias y x: send                 and there is none
		alias d1 jane: previous_id_is_anonymous
		identify d1 jane: send          the userId is another one
		alias d1 jane: previous_id_is_anonymous
		identify d2 d2: send            a guest whose userId is the anonymousId
		alias d2 joe: send              so there is somebody to rename
		alias d2 joe: already_merged
		alias d2 jim: previous_id_is_anonymous
		track - d2: send                and again
		alias d2 jim: send
		track - d3: send                as a server sends it
		alias d3 zoe: send
		alias zoe d3: send              back
		alias d3 zoe: send`,
}

func TestWhatAMemoryDropsOfAliases(t *testing.T) {
	for name, story := range memoryStories {
		t.Run(name, func(t *testing.T) {
			d := memoryDestination(t, name, "")
			m := memoryOf(t, d)
			for line := range strings.Lines(strings.TrimSpace(story)) {
				said, rest, _ := strings.Cut(strings.TrimSpace(line), ": ")
				want := strings.Fields(rest)[0]
				if got := outcomeOf(d, m, storyCall(strings.Fields(said))); got != want {
					t.Errorf("%s: got %s, want %s", said, got, want)
				}
			}
		})
	}
}

// outcomeOf tells a destination and its memory of a call that is delivered unless it is dropped.
func outcomeOf(d *destinations.Destination, m *Memory, call *segment.Call) string {
	outcome := d.Translate(call)
	if outcome.Dropped != "" {
		return string(outcome.Dropped)
	}
	if merges, ok := d.Merges(call); ok {
		a := &merges
		if call.Type == segment.Alias && m.Refuses(a) != "" {
			return string(m.Refuses(a))
		}
		if c := outcome.Condition; c != nil && !m.IsUsed(c.UsedID) {
			return string(c.Else)
		}
		m.Add(a, storyTime, "website")
	}
	return "send"
}

// No vendor takes an id over its limit into a cluster: what reaches it is dropped, and what adds no id is not.
func TestAClusterThatWouldBeFullIsLeftAlone(t *testing.T) {
	for _, name := range []string{"original", "original create_alias", "original merge"} {
		d := memoryDestination(t, name, "")
		m := memoryOf(t, d)
		for i := range 498 {
			if got := outcomeOf(d, m, storyCall([]string{"alias", "jane", fmt.Sprint("j", i)})); got != "send" {
				t.Fatalf("%s: alias %d: %s", name, i, got)
			}
		}
		for said, want := range map[string]string{
			"alias j1 new": "cluster_full", "alias other j0x": "send", "alias j497 j498": "cluster_full", "alias jane j7": "already_merged",
		} {
			if got := outcomeOf(d, m, storyCall(strings.Fields(said))); got != want {
				t.Errorf("%s: %s: got %s, want %s", name, said, got, want)
			}
		}
	}
}

// Names may lead from one to the next for as long as somebody likes: what is asked of them stays quick and sound.
func TestALongChainOfAliasesEndsSomewhere(t *testing.T) {
	for _, name := range []string{"legacy", "vero"} {
		d := memoryDestination(t, name, "")
		m := memoryOf(t, d)
		step := func(i, j int) string {
			return outcomeOf(d, m, storyCall([]string{"alias", fmt.Sprint("n", i), fmt.Sprint("n", j)}))
		}
		const long = 3 * maxWalk
		for i := range long {
			if got := step(i, i+1); got != "send" {
				t.Fatalf("%s: alias %d: %s", name, i, got)
			}
		}
		if got := step(0, 600); got != "already_merged" {
			t.Errorf("%s: 600 names on: %s", name, got)
		}
		for _, end := range []int{0, long} {
			step(long-end, end) // whatever is said of ends that are too far apart
		}
	}
}

// With a memory a vendor knows the same people as without it, and throws no alias away in silence.
func TestAMemoryChangesNoPeopleAndSparesTheVendorWhatItWouldThrowAway(t *testing.T) {
	for i, v := range memoryVendors {
		t.Run(v.name, func(t *testing.T) {
			sim, err := simulator.Start("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sim.Close() }()
			dropped := 0
			for round := range 3 {
				dropped += compareWithMemory(t, sim, v.name, uint64(100*i+round))
			}
			if dropped == 0 {
				t.Error("nothing was ever dropped")
			}
		})
	}
}

// compareWithMemory tells one vendor a story and another what the memory leaves of it, and returns how much that drops.
func compareWithMemory(t *testing.T, sim *simulator.Simulator, name string, seed uint64) (dropped int) {
	t.Helper()
	with, without := memoryAccount(t, sim, name, seed, "with"), memoryAccount(t, sim, name, seed, "without")
	m := memoryOf(t, with.destination)
	dice := rand.New(rand.NewPCG(seed, 0))
	sender := httpclient.New(httpclient.Options{Timeout: 10 * time.Second, AllowPrivate: true})
	for range 150 {
		call := randomCall(dice)
		without.deliver(t, sender, call)
		merges, ok := with.destination.Merges(call)
		if ok && call.Type == segment.Alias && m.Refuses(&merges) != "" {
			dropped++
			continue
		}
		if c := with.destination.Translate(call).Condition; c != nil && !m.IsUsed(c.UsedID) {
			if with.has(c.UsedID) {
				t.Errorf("seed %d: the memory does not know of %s", seed, c.UsedID)
			}
			continue
		}
		before := with.account.Stats().Refusals
		taken := with.deliver(t, sender, call)
		if call.Type == segment.Alias && taken && with.account.Stats().Refusals > before {
			all := with.account.Refusals()
			if reason := all[len(all)-1].Reason; !slices.Contains(notOfAliases, reason) {
				t.Errorf("seed %d: the vendor threw away an alias: %s", seed, reason)
			}
		}
		if ok && taken {
			m.Add(&merges, storyTime, "website")
		}
	}
	if got, want := peopleOf(with.account), peopleOf(without.account); !reflect.DeepEqual(got, want) {
		t.Errorf("seed %d: with a memory the vendor's people are\n%v\nand without it\n%v", seed, got, want)
	}
	return dropped
}

// notOfAliases are what a vendor notes where no memory of merges could have known better: Mixpanel on an event of the simplified mode whose
// device is another user's (the event itself counts), and Customer.io on a merge of an id that no call came under, and on a device that an
// identify has given to another.
var notOfAliases = []string{"device_linked_to_another_user", "merge_without_secondary", "anonymous_id_taken"}

type memoryVendor struct {
	destination *destinations.Destination
	account     *simulator.Account
}

func memoryAccount(t *testing.T, sim *simulator.Simulator, name string, seed uint64, which string) memoryVendor {
	t.Helper()
	for _, v := range memoryVendors {
		if v.name != name {
			continue
		}
		account := strings.ReplaceAll(fmt.Sprint(name, "-", seed, "-", which), " ", "-")
		endpoint, err := sim.Add(account, v.vendor, simulator.Options{IDMerge: v.idMerge, CustomerIO: simulator.CustomerIO{FindableAfter: -1}})
		if err != nil {
			t.Fatal(err)
		}
		return memoryVendor{memoryDestination(t, name, endpoint), sim.Account(account)}
	}
	t.Fatalf("no vendor %q", name)
	return memoryVendor{}
}

// deliver sends what a call means, and reports whether there was something and the vendor took it, as far as it says.
func (v memoryVendor) deliver(t *testing.T, sender *httpclient.Sender, call *segment.Call) bool {
	t.Helper()
	outcome := v.destination.Translate(call)
	if c := outcome.Condition; c != nil && !v.has(c.UsedID) {
		return false
	}
	for _, request := range outcome.Requests {
		r := sender.Send(exchangeOf(request))
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if v.destination.Judge([]adapter.Request{request}, adapter.Answer{Status: r.Status, Body: r.Body})[0].Class != adapter.Delivered {
			return false
		}
	}
	return len(outcome.Requests) > 0
}

// has reports whether the vendor has a person of this id.
func (v memoryVendor) has(id string) bool {
	for _, p := range v.account.Graph() {
		if slices.Contains(p.IDs, id) {
			return true
		}
	}
	return false
}

// exchangeOf is a request as a pipeline sends it that has no other to send with it.
func exchangeOf(r adapter.Request) httpclient.Exchange {
	return httpclient.Exchange{Method: r.Method, URL: r.URL, Header: r.Header, Body: adapter.Body([]adapter.Request{r})}
}

// peopleOf returns the ids of each person, and those that the vendor keeps apart.
func peopleOf(account *simulator.Account) (people []string) {
	for _, p := range account.Graph() {
		if account.Vendor() == "customerio" && len(p.IDs) == 1 && len(p.Events) == 0 {
			continue // an alias that is dropped does not make the person of its userId either
		}
		people = append(people, strings.Join(p.IDs, " ")+p.Stranded)
	}
	return people
}

// randomCall is about some of a few ids, most of which are merged with each other soon.
func randomCall(dice *rand.Rand) *segment.Call {
	user := func() string { return string(rune('a' + dice.IntN(12))) }
	device := func() string { return fmt.Sprint("d", 1+dice.IntN(9)) }
	switch dice.IntN(7) {
	case 6: // a guest
		id := device()
		return storyCall([]string{"identify", id, id})
	case 0:
		return storyCall([]string{"track", "-", user()})
	case 1:
		return storyCall([]string{"identify", device(), user()})
	case 2:
		return storyCall([]string{"alias", device(), user()})
	}
	from, to := user(), user()
	for from == to {
		to = user()
	}
	return storyCall([]string{"alias", from, to})
}

// storyCall reads the words of a call: its type, the previous or anonymous id, the userId.
func storyCall(words []string) *segment.Call {
	first, userID := storyID(words[1]), storyID(words[2])
	body := map[string]any{"type": words[0], "userId": userID, "messageId": fmt.Sprint(storyIDs.Uint64()), "traits": map[string]any{"plan": "free"}}
	if first != words[1] {
		body["anonymousId"] = first
	}
	switch words[0] {
	case "alias":
		body["previousId"] = first
	case "track":
		body["event"] = "Viewed"
	}
	return parsed(body)
}

// parsed is a call as it comes in. A body that is none is the test's mistake.
func parsed(body map[string]any) *segment.Call {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	result, err := segment.Parse(text, segment.Options{ReceivedAt: storyTime})
	if err != nil {
		panic(err)
	}
	call, err := result.Messages[0].Decode()
	if err != nil {
		panic(err)
	}
	return call
}

// storyID makes a UUIDv4 of a device's short name.
func storyID(name string) string {
	if len(name) == 2 && name[0] == 'd' && name[1] <= '9' {
		return fmt.Sprintf("00000000-0000-4000-8000-00000000000%c", name[1])
	}
	return name
}

var (
	storyTime = time.Now()
	storyIDs  = rand.New(rand.NewPCG(5, 6))
)

func memoryOf(t testing.TB, d *destinations.Destination) *Memory {
	t.Helper()
	merger, _ := d.Merger()
	return openMemory(t, &mapStore{}, Options{Account: merger.Account()})
}

func memoryDestination(t testing.TB, name, endpoint string) *destinations.Destination {
	t.Helper()
	for _, v := range memoryVendors {
		if v.name == name {
			d, err := destinations.New("test", v.vendor, &testSettings{t, v.settings, endpoint})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	t.Fatalf("no vendor %q", name)
	return nil
}

// testSettings are settings as a config holds them.
type testSettings struct {
	t              testing.TB
	text, endpoint string
}

func (s *testSettings) Decode(into any) error {
	node := &yaml.Node{}
	text := strings.TrimSuffix(s.text, "}") + fmt.Sprintf(", endpoint: %q }", s.endpoint)
	if err := yaml.Unmarshal([]byte(text), node); err != nil {
		s.t.Fatal(err)
	}
	decoder := strictyaml.Decoder{Lookup: os.LookupEnv, ReadFile: os.ReadFile}
	if !decoder.Decode(node, "", into) {
		s.t.Fatal(decoder.Problems())
	}
	return nil
}
