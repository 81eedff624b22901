package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/destinations/simulator"
	"aka/router/verify"
)

// secretOfVerify is in the settings of every account.
const secretOfVerify = "right-secret"

// verified is an account to verify: a destination's settings, and how the vendor is in truth.
type verified struct {
	name, vendor, settings string
	options                simulator.Options
	// want is what comes of it when nothing goes wrong.
	want verify.Finding
	// merges is whether the story's two ids are one person then.
	merges bool
}

func cioAccount(change func(*simulator.CustomerIO)) simulator.Options {
	set := simulator.CustomerIO{SiteID: "site", AppAPIKey: secretOfVerify, FindableAfter: -1}
	if change != nil {
		change(&set)
	}
	return simulator.Options{Token: secretOfVerify, CustomerIO: set}
}

const (
	cioSettings      = "site_id: site, api_key: right-secret, app_api_key: right-secret, merge_wait: 1ms"
	mixpanelSettings = "token: right-secret, service_account: { username: aka, secret: right-secret, project_id: '7' }, settle: 0s, "
)

func mixpanelAccount(mode string) simulator.Options {
	return simulator.Options{IDMerge: mode, Token: secretOfVerify, ServiceUser: "aka", ServiceSecret: secretOfVerify, ProjectID: "7"}
}

var verifiedAccounts = []verified{
	{"customerio", "customerio", cioSettings, cioAccount(nil), verify.Verified, true},
	{"customerio-frees", "customerio", cioSettings, cioAccount(func(c *simulator.CustomerIO) { c.MergedIdentifiers = "free" }), verify.Verified, true},
	{"customerio-id", "customerio", cioSettings + ", identifiers: id", cioAccount(func(c *simulator.CustomerIO) { c.Identifiers = "id" }), verify.Verified, true},
	{"customerio-email", "customerio", cioSettings + ", identifiers: email", cioAccount(func(c *simulator.CustomerIO) { c.Identifiers = "email" }), verify.Verified, true},
	{"customerio-off", "customerio", cioSettings + ", alias: 'off'", cioAccount(nil), verify.Verified, false},
	{"customerio-unread", "customerio", "site_id: site, api_key: right-secret, merge_wait: 1ms", cioAccount(nil), verify.Unverified, true},
	{"http", "http", `secrets: { token: right-secret }, calls: {
		identify: { send: [{ request: POST /people, json: { token: =secrets.token, id: =userId } }] },
		track: { send: [{ request: POST /events, json: { token: =secrets.token, id: =userId, name: =event } }] },
		alias: { send: [{ request: POST /merges, json: { token: =secrets.token, from: =previousId, to: =userId } }], merges: { rule: joins, from: previousId, to: userId } } }`,
		simulator.Options{}, verify.Unverified, true},
	{"kissmetrics", "kissmetrics", "api_key: right-secret", simulator.Options{Token: secretOfVerify}, verify.Unverified, true},
	{"mixpanel-legacy", "mixpanel", mixpanelSettings + "id_merge: legacy", mixpanelAccount("legacy"), verify.Verified, true},
	{"mixpanel-original", "mixpanel", mixpanelSettings + "id_merge: original", mixpanelAccount("original"), verify.Verified, true},
	{"mixpanel-merge", "mixpanel", mixpanelSettings + "id_merge: original, alias_strategy: merge", mixpanelAccount("original"), verify.Verified, true},
	{"mixpanel-identify", "mixpanel", mixpanelSettings + "id_merge: original, alias_strategy: identify", mixpanelAccount("original"), verify.Verified, false},
	{"mixpanel-simplified", "mixpanel", mixpanelSettings + "id_merge: simplified", mixpanelAccount("simplified"), verify.Verified, false},
	{"mixpanel-secret", "mixpanel", "token: right-secret, api_secret: right-secret-2, id_merge: original",
		simulator.Options{IDMerge: "original", Token: secretOfVerify, APISecret: secretOfVerify + "-2"}, verify.Verified, true},
	{"mixpanel-unread", "mixpanel", "token: right-secret, id_merge: original", simulator.Options{IDMerge: "original", Token: secretOfVerify}, verify.Unverified, true},
	{"segment", "segment", "write_key: right-secret", simulator.Options{Token: secretOfVerify}, verify.Unverified, true},
	{"vero", "vero", "auth_token: right-secret", simulator.Options{Token: secretOfVerify}, verify.Unverified, true},
	{"webhook", "webhook", `url: "https://hooks.example.com", signature: sha1, secrets: [right-secret]`,
		simulator.Options{Webhook: simulator.Webhook{Signature: "sha1", Secrets: []string{secretOfVerify}}}, verify.Unverified, true},
}

// open starts a simulator with the account, and returns a config that sends to it.
func (a verified) open(t *testing.T, faults ...simulator.Fault) (*simulator.Account, string) {
	t.Helper()
	sim, err := simulator.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	endpoint, err := sim.Add(a.name, a.vendor, a.options)
	if err != nil {
		t.Fatal(err)
	}
	account := sim.Account(a.name)
	if err := account.AddFaults(faults...); err != nil {
		t.Fatal(err)
	}
	return account, writeConfig(t, fmt.Sprintf(`sources: { website: { write_key: write-key-1 } }
delivery: { allow_private: true, timeout: 5s }
destinations: { %s: { type: %s, settings: { endpoint: %q, %s } } }
`, a.name, a.vendor, endpoint, a.settings))
}

// verify runs aka verify and returns what it found.
func (a verified) verify(t *testing.T, path string, args ...string) (result, verify.Result) {
	t.Helper()
	got := runAka(t, append([]string{"verify", a.name, "-o", "json", "--wait", "0s", "-c", path}, args...)...)
	var found verify.Result
	if err := json.Unmarshal([]byte(got.out), &found); err != nil {
		t.Fatalf("%v in %s%s", err, got.out, got.errOut)
	}
	noSecretIsShown(t, got, secretOfVerify)
	if code := map[verify.Finding]int{verify.Verified: 0, verify.Failed: 1, verify.Unverified: 3}[found.Finding]; got.code != code {
		t.Errorf("%s: exit code %d, want %d: %s", found.Finding, got.code, code, got.errOut)
	}
	return got, found
}

func account(t *testing.T, name string) verified {
	t.Helper()
	at := slices.IndexFunc(verifiedAccounts, func(a verified) bool { return a.name == name })
	if at < 0 {
		t.Fatalf("no account %s", name)
	}
	return verifiedAccounts[at]
}

func TestVerify_EveryVendor(t *testing.T) {
	for _, vendor := range destinations.Types() {
		if !slices.ContainsFunc(verifiedAccounts, func(a verified) bool { return a.vendor == vendor }) {
			t.Errorf("%s is not among the accounts", vendor)
		}
	}
	for _, a := range verifiedAccounts {
		t.Run(a.name, func(t *testing.T) {
			vendor, path := a.open(t)
			_, found := a.verify(t, path, "--yes")
			if found.Finding != a.want || len(found.Look) == 0 || !strings.Contains(found.Record, a.vendor) {
				t.Errorf("%+v", found)
			}
			if wants := a.want == verify.Verified; wants != (len(found.Checks) > 0) {
				t.Errorf("%d checks", len(found.Checks))
			}
			if slices.Contains([]string{"http", "segment", "webhook"}, a.vendor) { // they have no people of their own
				return
			}
			person, _ := vendor.Graph().Person(found.Story.New)
			if one := slices.Equal(person.Events, []string{adapter.AfterEvent, adapter.BeforeEvent}); one != a.merges {
				t.Errorf("the vendor has\n%s", vendor.Graph())
			}
		})
	}
}

// Whatever the vendor: what takes nothing verifies nothing.
func TestVerify_AnswersThatAreNone(t *testing.T) {
	for what, c := range map[string]struct {
		fault simulator.Fault
		want  string
	}{
		"a web page with 200": {simulator.Fault{Page: true}, "is not the vendor's"},
		"HTML that says so":   {simulator.Fault{Status: 200, Body: "<html>Sign in</html>"}, "is not the vendor's"},
		"payment required":    {simulator.Fault{Status: 402}, "(402)"},
		"bad credentials":     {simulator.Fault{Status: 401}, "refuses the credentials (401)"},
		"a bad request":       {simulator.Fault{Status: 400}, "(400)"},
		"busy":                {simulator.Fault{Status: 503}, "cannot take it now (503)"},
		"no answer":           {simulator.Fault{Reset: true}, "cannot be reached"},
	} {
		for _, a := range verifiedAccounts {
			if a.vendor == "webhook" && (c.fault.Page || c.fault.Status == 200) { // it may answer what it wants
				continue
			}
			t.Run(what+"/"+a.name, func(t *testing.T) {
				_, path := a.open(t, c.fault)
				_, found := a.verify(t, path, "--yes")
				if found.Finding != verify.Failed || !strings.Contains(found.Why, c.want) || found.Record != "" {
					t.Errorf("%+v", found)
				}
				if last := found.Calls[len(found.Calls)-1]; last.Outcome != verify.OutcomeNotSent || len(found.Checks) > 0 {
					t.Errorf("it goes on after a failure: %+v", found)
				}
			})
		}
	}
}

// doesNothing are the answers of a success, in which nothing was done.
var doesNothing = map[string][]simulator.Fault{
	"customerio":  {{Path: "/api/v2", Status: 200, Body: "{}"}},
	"kissmetrics": {{Status: 200}},
	"mixpanel": {
		{Path: "/import", Status: 200, Body: `{"code":200,"num_records_imported":1,"status":"OK"}`},
		{Path: "/track", Status: 200, Body: `{"status":1,"error":null}`},
		{Match: func(x simulator.Exchange) bool { return x.Path == "/engage" }, Status: 200, Body: `{"status":1,"error":null}`},
	},
	"segment": {{Status: 200, Body: `{"success":true}`}},
	"vero":    {{Status: 200, Body: `{"status":200,"message":"Success."}`}},
}

// A vendor that can be asked is caught, and no other is said to be verified.
func TestVerify_ASuccessThatDidNothing(t *testing.T) {
	for _, a := range verifiedAccounts {
		t.Run(a.name, func(t *testing.T) {
			_, path := a.open(t, doesNothing[a.vendor]...)
			_, found := a.verify(t, path, "--yes")
			want := verify.Unverified
			if a.want == verify.Verified {
				want = verify.Failed
			}
			if found.Finding != want || found.Why == "" {
				t.Errorf("%+v", found)
			}
		})
	}
}

func TestVerify_AMergeThatIsIgnored(t *testing.T) {
	cio, original := account(t, "customerio"), account(t, "mixpanel-original")
	tooEarly, otherMode := cio, original
	tooEarly.options = cioAccount(func(c *simulator.CustomerIO) { c.FindableAfter = time.Hour })
	otherMode.options = mixpanelAccount("simplified")
	for what, c := range map[string]struct {
		account verified
		faults  []simulator.Fault
		want    string
	}{
		"Customer.io does not find the person yet": {tooEarly, nil, "the person has no aka_verify_before"},
		"Customer.io answers and does nothing": {cio, []simulator.Fault{{Path: "/entity", Status: 200, Body: "{}"}},
			"the person has no aka_verify_before"},
		"Mixpanel's project has another mode": {otherMode, nil, "profiles found: 2"},
		"Mixpanel answers and does nothing": {original, []simulator.Fault{{Path: "/track", Status: 200, Body: `{"status":1,"error":null}`}},
			"profiles found: 2"},
	} {
		t.Run(what, func(t *testing.T) {
			_, path := c.account.open(t, c.faults...)
			_, found := c.account.verify(t, path, "--yes")
			if found.Finding != verify.Failed || !strings.Contains(found.Why, c.want) {
				t.Errorf("%+v", found)
			}
		})
	}
}

// Mixpanel answers success to profiles of a token that no project has.
func TestVerify_AWrongTokenOfMixpanel(t *testing.T) {
	a := account(t, "mixpanel-original")
	a.options.Token = "another"
	_, path := a.open(t)
	if _, found := a.verify(t, path, "--yes"); found.Finding != verify.Failed || !strings.Contains(found.Why, "profiles found: 0") {
		t.Errorf("%+v", found)
	}
}

func TestVerify_AnEventThatIsLost(t *testing.T) {
	a := account(t, "customerio")
	for _, event := range []string{adapter.BeforeEvent, adapter.AfterEvent} {
		_, path := a.open(t, simulator.Fault{Path: "/batch", ID: event, Status: 200, Body: "{}"})
		if _, found := a.verify(t, path, "--yes"); found.Finding != verify.Failed || !strings.Contains(found.Why, event) {
			t.Errorf("%s: %+v", event, found)
		}
	}
}

func TestVerify_AnAnswerThatIsNoReadBack(t *testing.T) {
	for what, c := range map[string]struct {
		fault simulator.Fault
		want  string
	}{
		"a web page":           {simulator.Fault{Page: true}, "web page"},
		"a web page with 404":  {simulator.Fault{Page: true, Status: 404}, "web page"},
		"another key":          {simulator.Fault{Status: 401}, "refuses the credentials (401): see "},
		"too many questions":   {simulator.Fault{Status: 429}, "too many questions"},
		"an empty object":      {simulator.Fault{Status: 200, Body: "{}"}, "is not found"},
		"an empty answer":      {simulator.Fault{Status: 200}, "is not found"},
		"no route to an API":   {simulator.Fault{Status: 404, Body: `{"error":"no such endpoint"}`}, "is not found"},
		"an API that is ended": {simulator.Fault{Status: 410}, "is not found"},
		"no answer":            {simulator.Fault{Reset: true}, "no answer"},
	} {
		for name, readPath := range map[string]string{"customerio": "/v1/customers", "mixpanel-original": "/api/query"} {
			t.Run(what+"/"+name, func(t *testing.T) {
				a := account(t, name)
				c.fault.Path = readPath
				_, path := a.open(t, c.fault)
				if _, found := a.verify(t, path, "--yes"); found.Finding != verify.Failed || !strings.Contains(found.Why, c.want) {
					t.Errorf("%+v", found)
				}
			})
		}
	}
}

// A vendor that is slow is asked again later, and gets nothing a second time.
func TestVerify_AnEarlierRunIsReadBackOnly(t *testing.T) {
	a := account(t, "customerio")
	vendor, path := a.open(t, simulator.Fault{Path: "/v1/customers", Status: 404, Times: 4})
	_, found := a.verify(t, path, "--yes")
	if found.Finding != verify.Failed {
		t.Fatalf("%+v", found)
	}
	sent := len(vendor.Records())
	_, again := a.verify(t, path, "--run", found.Story.Run)
	if again.Finding != verify.Verified || again.Story != found.Story || len(again.Calls) > 0 {
		t.Errorf("%+v", again)
	}
	if more := len(vendor.Records()) - sent; more != 0 || sent == 0 {
		t.Errorf("%d records, and %d more", sent, more)
	}
	for _, run := range []string{"0a1b2c3d", "a1b2c3d", "a1b2c3d4e", "../../x"} {
		if got := runAka(t, "verify", a.name, "--run", run, "-c", path); got.code != exitWrongUse || !strings.Contains(got.errOut, "--run: expected") {
			t.Errorf("%s: exit code %d: %s", run, got.code, got.errOut)
		}
	}
}

// What the vendor answered to an earlier run is not known any more.
func TestVerify_AnEarlierRunThatCannotBeReadBackHasNoRecord(t *testing.T) {
	a := account(t, "vero")
	vendor, path := a.open(t)
	if _, found := a.verify(t, path, "--run", "a1b2c3d4"); found.Finding != verify.Unverified || found.Record != "" || len(found.Look) == 0 || len(vendor.Exchanges()) > 0 {
		t.Errorf("%+v", found)
	}
}

func TestVerify_SendsNothingWithoutYes(t *testing.T) {
	for _, a := range verifiedAccounts {
		vendor, path := a.open(t)
		got := runAka(t, "verify", a.name, "-c", path)
		if got.code != exitWrongUse || !strings.Contains(got.errOut, "add --yes") || got.out == "" {
			t.Errorf("%s: exit code %d: %s%s", a.name, got.code, got.out, got.errOut)
		}
		if n := len(vendor.Exchanges()); n > 0 {
			t.Errorf("%s: %d exchanges", a.name, n)
		}
		noSecretIsShown(t, got, secretOfVerify)
	}
}

// The story goes the way of calls: a filter leaves them out here, too.
func TestVerify_AFilterLeavesTheStoryOut(t *testing.T) {
	vendor, path := account(t, "vero").open(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path = writeConfig(t, strings.Replace(string(text), "type: vero,", `type: vero, filter: 'type == "page"',`, 1))
	if got := runAka(t, "verify", "vero", "-c", path); !strings.Contains(got.out, "would send nothing to vero") {
		t.Errorf("it says\n%s", got.out)
	}
	got := runAka(t, "verify", "vero", "--yes", "-c", path)
	if got.code != exitFailed || !strings.Contains(got.out, "filtered_by_destination") || len(vendor.Exchanges()) > 0 {
		t.Errorf("exit code %d: %s%s", got.code, got.out, got.errOut)
	}
}

func TestVerify_RefusesADryDestination(t *testing.T) {
	a := account(t, "vero")
	vendor, path := a.open(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path = writeConfig(t, strings.Replace(string(text), "type: vero,", "type: vero, mode: dry,", 1))
	got := runAka(t, "verify", "vero", "--yes", "-c", path)
	if got.code != exitWrongUse || !strings.Contains(got.errOut, "the destination vero is dry") || len(vendor.Exchanges()) > 0 {
		t.Errorf("exit code %d: %s", got.code, got.errOut)
	}
}

func TestVerify_NamesTheDestinationsThatThereAre(t *testing.T) {
	_, path := account(t, "vero").open(t)
	if got := runAka(t, "verify", "veri", "--yes", "-c", path); got.code != exitWrongUse || !strings.Contains(got.errOut, `no destination "veri"`) ||
		!strings.Contains(got.errOut, `it has vero`) {
		t.Errorf("exit code %d: %s", got.code, got.errOut)
	}
}

// Two runs share no id.
func TestVerify_IDsAreFresh(t *testing.T) {
	a := account(t, "vero")
	_, path := a.open(t)
	_, one := a.verify(t, path, "--yes")
	_, other := a.verify(t, path, "--yes")
	if one.Story.Old == other.Story.Old || one.Story.New == other.Story.New || !verify.IsRun(one.Story.Run) {
		t.Errorf("%+v, then %+v", one.Story, other.Story)
	}
	for _, id := range []string{one.Story.Old, one.Story.New} {
		if !strings.HasPrefix(id, "aka-verify-"+one.Story.Run) {
			t.Errorf("%s does not say where it comes from", id)
		}
	}
	if !strings.HasSuffix(one.Story.Old, "@example.com") {
		t.Errorf("%s may be somebody's", one.Story.Old)
	}
}

// What is printed, with the run, the day and the address of the simulator replaced.
func TestVerify_ReadsWell(t *testing.T) {
	otherMode := account(t, "mixpanel-original")
	otherMode.options = mixpanelAccount("simplified")
	for file, c := range map[string]struct {
		account verified
		faults  []simulator.Fault
	}{
		"verified":   {account(t, "customerio"), nil},
		"dropped":    {account(t, "mixpanel-simplified"), nil},
		"unverified": {account(t, "vero"), nil},
		"missing":    {otherMode, nil},
		"failed":     {account(t, "vero"), []simulator.Fault{{Page: true}}},
	} {
		vendor, path := c.account.open(t, c.faults...)
		got := runAka(t, "verify", c.account.name, "--yes", "--wait", "0s", "-c", path)
		address, _, _ := strings.Cut(strings.TrimPrefix(vendor.Endpoint(), "http://"), "/")
		text := strings.ReplaceAll(got.out+got.errOut, address, "vendor")
		for what, form := range map[string]string{"RUN": `[a-f][0-9a-f]{7}\b`, "TODAY": `\d{4}-\d{2}-\d{2}`} {
			text = regexp.MustCompile(form).ReplaceAllString(text, what)
		}
		file = "testdata/verify_" + file + ".txt"
		want, err := os.ReadFile(file)
		if err != nil || text != string(want) {
			t.Errorf("%s (%v):\n got %s\nwant %s", file, err, text, want)
		}
	}
}
