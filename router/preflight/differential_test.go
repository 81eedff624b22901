package preflight

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"gopkg.in/yaml.v3"

	"aka/destinations/simulator"
	"aka/router"
	"aka/router/config"
	"aka/router/config/configtest"
)

var firstSeed = flag.Uint64("seed", 0, "seed of the random logs; 0 is a new one")

func seeds(t *testing.T, n int) []uint64 {
	first := *firstSeed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	all := make([]uint64, n)
	for i := range all {
		all[i] = first + uint64(i)
	}
	t.Logf("seeds from %d", first)
	return all
}

// every is a config with each simulated vendor in each mode.
const every = `
listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
sources: { website: { write_key: write-key-of-the-test } }
delivery: { allow_private: true, order: strict }
destinations:
  customerio: { settings: { site_id: s, api_key: k, region: eu, merge_wait: 0s, settle: 0s } }
  kissmetrics: { settings: { api_key: k, settle: 0s } }
  joining: { type: kissmetrics, settings: { api_key: k2, alias_on_identify: true, settle: 0s } }
  legacy: { type: mixpanel, settings: { token: t1, id_merge: legacy, settle: 0s } }
  original: { type: mixpanel, settings: { token: t2, id_merge: original, settle: 0s } }
  simplified: { type: mixpanel, settings: { token: t3, id_merge: simplified, link_on_alias: Linked, settle: 0s } }
  segment: { settings: { write_key: w, settle: 0s } }
  vero: { settings: { auth_token: v, settle: 0s } }
`

// rulesOfDifference are sections of merges under which people must come out the same.
var rulesOfDifference = map[string]string{
	"allowed": "merges: { known_users: allow, device_of_another_user: allow, direction: allow, max_ids_verdict: allow }\n",
	"dropped": "merges: { known_users: drop, new_user_grace: 0s, max_ids: 4, max_ids_verdict: drop }\n",
}

// After the same calls, preflight has the same people at each vendor as an aka that has delivered them to the simulated vendors.
func TestPeopleAreThoseOfAnAkaThatDeliversTheCalls(t *testing.T) {
	for name, rules := range rulesOfDifference {
		for _, seed := range seeds(t, 1) {
			t.Run(fmt.Sprintf("%s/seed=%d", name, seed), func(t *testing.T) {
				t.Parallel() // it waits more than it computes
				calls := randomCalls(seed, 60)
				want := delivered(t, every+rules, calls)
				got := foretold(t, every+rules, calls)
				for destination := range want {
					if w, g := strings.Join(want[destination], "\n"), strings.Join(got[destination], "\n"); w != g {
						t.Errorf("%s:\n%s", destination, difference(want[destination], got[destination]))
					}
				}
				if merged := len(slices.DeleteFunc(want["kissmetrics"], func(p string) bool { return !strings.Contains(p, " + ") })); merged == 0 {
					t.Error("no people were merged")
				}
			})
		}
	}
}

func difference(want, got []string) string {
	var lines []string
	for _, p := range want {
		if !slices.Contains(got, p) {
			lines = append(lines, "delivered: "+p)
		}
	}
	for _, p := range got {
		if !slices.Contains(want, p) {
			lines = append(lines, "preflight: "+p)
		}
	}
	return strings.Join(lines, "\n")
}

// randomCalls is a log of a few people, who meet by everything that can join them.
func randomCalls(seed uint64, n int) []string {
	dice := rand.New(rand.NewPCG(seed, 1))
	user := func() string { return fmt.Sprintf("user-%d", dice.IntN(20)) }
	device := func() string { return fmt.Sprintf("%08d-0000-4000-8000-000000000000", dice.IntN(25)) }
	email := func() string { return fmt.Sprintf("mail%d@example.com", dice.IntN(20)) }
	oneOf := func(all ...func() string) string { return all[dice.IntN(len(all))]() }
	undefined := func() string { return "undefined" }
	var calls []string
	for i := range 25 { // aka reads ahead, and so knows devices that come later
		calls = append(calls, fmt.Sprintf(`{"type":"track","event":"Seen","messageId":"d-%d","anonymousId":"%08d-0000-4000-8000-000000000000"}`, i, i))
	}
	for i := range n {
		call := ""
		switch dice.IntN(10) {
		case 0, 1:
			call = fmt.Sprintf(`"type":"track","event":"Seen","anonymousId":%q`, device())
		case 2:
			call = fmt.Sprintf(`"type":"track","event":"Bought","userId":%q`, oneOf(user, user, email, device))
		case 3:
			call = fmt.Sprintf(`"type":"track","event":"Bought","userId":%q,"anonymousId":%q`, user(), device())
		case 4, 5, 6:
			call = fmt.Sprintf(`"type":"identify","userId":%q,"anonymousId":%q,"traits":{"plan":"%d"}`, oneOf(user, user, email), device(), i)
		default:
			call = fmt.Sprintf(`"type":"alias","previousId":%q,"userId":%q`, oneOf(device, device, email, user, undefined), oneOf(user, user, user, email, device))
		}
		if dice.IntN(12) == 0 {
			call += `,"integrations":{"All":true,"Kissmetrics":false}`
		}
		calls = append(calls, fmt.Sprintf(`{"messageId":"m-%d",%s}`, i, call))
	}
	return calls
}

// shownPeople returns one line a person.
func shownPeople(people simulator.Graph) (all []string) {
	for _, person := range people {
		if len(person.IDs) > 0 {
			all = append(all, strings.Join(person.IDs, " + "))
		}
	}
	slices.Sort(all)
	return all
}

// delivered has an aka deliver the calls to simulated vendors, and returns the people there.
func delivered(t *testing.T, text string, calls []string) map[string][]string {
	t.Helper()
	sim, err := simulator.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	c, err := config.Load(configtest.Write(t, text), config.LoadOptions{
		JournalDir: filepath.Join(t.TempDir(), "journal"),
		Simulate: func(name, vendorType string, settings *yaml.Node) (string, error) {
			var mode struct {
				IDMerge string `yaml:"id_merge"`
			}
			_ = settings.Decode(&mode)
			return sim.Add(name, vendorType, simulator.Options{IDMerge: mode.IDMerge, CustomerIO: simulator.CustomerIO{FindableAfter: -1}})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := router.New(c, zap.NewNop())
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		r.Stop(ctx)
	}()
	for i, call := range calls {
		// One after the other: two calls that share no id have no order, though a vendor may know that they are of one person.
		answer, err := http.Post("http://"+r.Addr()+"/v1/batch", "application/json", strings.NewReader(`{"writeKey":"write-key-of-the-test","batch":[`+call+"]}"))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("status %d", answer.StatusCode)
		}
		for ended(t, r) < (i+1)*len(c.Destinations) {
			runtime.Gosched()
		}
	}
	people := map[string][]string{}
	for name := range c.Destinations {
		people[name] = shownPeople(sim.Account(name).Graph())
	}
	return people
}

// ended counts the calls that have ended, once for each destination.
func ended(t *testing.T, r *router.Router) (n int) {
	t.Helper()
	answer, err := http.Get("http://" + r.AdminAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "aka_outcomes_total{") {
			count, _ := strconv.Atoi(line[strings.LastIndexByte(line, ' ')+1:])
			n += count
		}
	}
	return n
}

// foretold is what a preflight says of the calls.
func foretold(t *testing.T, text string, calls []string) map[string][]string {
	t.Helper()
	people := map[string][]string{}
	r := newPreflight(loadText(t, text), Options{})
	var mu sync.Mutex
	r.people = func(destination string, some simulator.Graph) {
		mu.Lock()
		defer mu.Unlock()
		people[destination] = append(people[destination], shownPeople(some)...)
	}
	if _, err := r.do(t.Context(), []Input{textInput("calls", strings.Join(calls, "\n"))}); err != nil {
		t.Fatal(err)
	}
	for _, all := range people {
		slices.Sort(all)
	}
	return people
}

func loadText(t testing.TB, text string) *config.Config {
	t.Helper()
	c, err := config.Load(configtest.Write(t, text), config.LoadOptions{Simulate: Endpoint})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func textInput(name, text string) Input {
	return Input{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(text))), nil }}
}
