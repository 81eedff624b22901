// Package golden reads and checks golden cases of an adapter: one YAML file per behaviour, with a call as an SDK sends it and what
// the vendor's page says must come of it.
//
//	doc: https://developers.getvero.com/#users-reidentify      # required: where the expectation comes from
//	settings: { auth_token: t0ken }
//	call: { type: alias, messageId: m1, previousId: jen@email.com, userId: 507f191e81 }
//	send:
//	  - request: PUT https://api.getvero.com/api/v2/users/reidentify
//	    json: { auth_token: t0ken, id: jen@email.com, new_id: 507f191e81 }
//
// Instead of send a case has `drop: reason`, `reject: "error text"` or `settings_error: "error text"`. A request shows its
// query and form body decoded (`query:`, `form:`), its headers but the Content-Type under `header:`, and `batch: KEY` when it
// may travel in an array. Form fields whose value is JSON are compared as JSON. `call_json:` gives a call whose exact bytes
// matter. The call arrives at 2026-01-02T03:04:05Z.
//
// `answers:` adds what the vendor may say, and what is made of it:
//
//	answers:
//	  - { request: 0, items: 2, status: 400, body: '{"failed_records":[{"index":1}]}', verdicts: [delivered, never] }
//
// request picks the request of `send` (default the first), items repeats it as a batch (default 1), content_type is that
// header, too_long reports that the body is only the start of a longer one, and after_possible_delivery that an earlier try got no answer.
// A batch that is refused as a whole is `isolate` for each of its items; a single one is `never`:
//
//	answers:
//	  - { items: 2, status: 400, body: '{"error":"cannot be read"}', verdicts: [isolate, isolate] }
//	  - { items: 1, status: 400, body: '{"error":"cannot be read"}', verdicts: [never] }
//
// A verdict with a note is written `delivered/reidentified_before`, and one that drops has its reason: `dropped/user_unknown`. Whatever `answers:` says, no web page may be a success: each
// request of each case is checked for that, except where the vendor has adapter.Vendor.AnyBody.
//
// `merges:` is what an adapter.Merger says of the call, `{}` for nothing:
//
//	merges: { rule: gives_from, from: 7f0cc7a7, to: 507f191e81, limit: 500, first_user_only: true }
//
// `merges: true` in a request of `send` is its mark, adapter.Request.Merges.
//
// `if_used:` beside send is the adapter.Condition of the call. Without it there must be none:
//
//	if_used: { id: 7f0cc7a7, else: previous_id_is_anonymous }
//
// A call of an adapter.Stepper has `steps:` instead of send: its requests in order. One that asks has the answer to it, as in
// `answers:`, and `asks: true`. Beside steps, drop or reject say how the call ends after the last answer; without, it is delivered.
//
//	steps:
//	  - { request: GET https://api.acme.example/people, query: { key: jen@email.com }, asks: true, answer: { status: 200, body: '{"id":7}' } }
//	  - { request: POST https://api.acme.example/people/7, json: { key: 507f191e81 } }
//
// `sign: { scheme: standard_webhooks, id: m1 }` in a request is its adapter.Sign. `signed_at:` is the time of a try in seconds since
// 1970, and `signed:` has those headers of the first request that are wanted then.
//
// `verify:` is what an adapter.Verifier reads back with these settings, of the story of the run a1b2c3d4, and what it makes of answers.
// Where it reads nothing, `unread:` is in the reason:
//
//	verify:
//	  checks:
//	    - request: GET https://api.acme.example/people/aka-verify-a1b2c3d4-new
//	      reads:
//	        - { status: 200, body: '{"traits":{"aka_verify_before":"a1b2c3d4"}}', ok: true }
//	        - { status: 404, found: no person }
//
// Whatever it says, each check asks a host of the vendor, and no empty answer is what it expects.
//
// `ignored:` lists the paths of the call's options that make no sense. Without it there must be none.
package golden

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"aka/destinations/adapter"
	"aka/router/segment"
	"aka/router/strictyaml"
)

// ReceivedAt is when every case's call arrives.
var ReceivedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// T is what a case says its failures to: a *testing.T, or a Recorder. Fatal and Fatalf do not return.
type T interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
}

// Case is one file.
type Case struct {
	Doc           string         `yaml:"doc"`
	Note          string         `yaml:"note"`
	Settings      yaml.Node      `yaml:"settings"`
	Call          map[string]any `yaml:"call"`
	CallJSON      string         `yaml:"call_json"`
	Send          []wantRequest  `yaml:"send"`
	Steps         []wantRequest  `yaml:"steps"`
	Drop          string         `yaml:"drop"`
	Reject        string         `yaml:"reject"`
	SettingsError string         `yaml:"settings_error"`
	Answers       []answerCase   `yaml:"answers"`
	Merges        *wantMerge     `yaml:"merges"`
	Ignored       []string       `yaml:"ignored"`
	IfUsed        *wantCondition `yaml:"if_used"`

	Verify *wantVerification `yaml:"verify"`

	SignedAt int64             `yaml:"signed_at"`
	Signed   map[string]string `yaml:"signed"`

	// masker hides secrets in what is compared; nil shows them.
	masker *adapter.Masker
}

type wantCondition struct {
	ID   string `yaml:"id"`
	Else string `yaml:"else"`
}

type wantRequest struct {
	Request string            `yaml:"request"`
	Query   map[string]string `yaml:"query"`
	Header  map[string]string `yaml:"header"`
	Form    map[string]any    `yaml:"form"`
	JSON    any               `yaml:"json"`
	Batch   string            `yaml:"batch"`
	Merges  bool              `yaml:"merges"`
	// Envelope, Rate and Wait are as in adapter.Shown.
	Envelope string `yaml:"envelope"`
	Rate     string `yaml:"rate"`
	Wait     string `yaml:"wait"`
	// Sign is how it is signed.
	Sign *wantSign `yaml:"sign"`
	// Asks is its mark, and Answer what the vendor says to it: of the requests of Steps only.
	Asks   bool        `yaml:"asks"`
	Answer *answerCase `yaml:"answer"`
}

type wantSign struct {
	Scheme string `yaml:"scheme"`
	ID     string `yaml:"id"`
}

type answerCase struct {
	Request               int      `yaml:"request"`
	Items                 int      `yaml:"items"`
	Status                int      `yaml:"status"`
	ContentType           string   `yaml:"content_type"`
	Body                  string   `yaml:"body"`
	TooLong               bool     `yaml:"too_long"`
	AfterPossibleDelivery bool     `yaml:"after_possible_delivery"`
	Verdicts              []string `yaml:"verdicts"`
}

type wantMerge struct {
	Rule  string `yaml:"rule"`
	From  string `yaml:"from"`
	To    string `yaml:"to"`
	Limit int    `yaml:"limit"`

	FirstUserOnly bool `yaml:"first_user_only"`
}

var mergeRules = map[string]adapter.MergeRule{
	"": 0, "joins": adapter.MergeJoins, "gives_from": adapter.MergeGivesFrom, "gives_to": adapter.MergeGivesTo,
	"links": adapter.MergeLinks,
	"names": adapter.MergeNames, "renames": adapter.MergeRenames, "uses": adapter.MergeUses,
	"uses_device": adapter.MergeUsesDevice, "absorbs": adapter.MergeAbsorbs, "gives_unkept": adapter.MergeGivesUnkept,
}

// Check checks a case against the vendor, with the settings of the case.
func Check(t T, vendor adapter.Vendor, file string) {
	t.Helper()
	c := Load(t, file)
	if !strings.HasPrefix(c.Doc, "https://") {
		t.Errorf("%s: doc: must name the vendor's page", file)
	}
	a, secrets, err := c.Build(vendor)
	if c.SettingsError != "" {
		if err == nil || !strings.Contains(err.Error(), c.SettingsError) {
			t.Fatalf("settings error:\n got %v\nwant %s", err, c.SettingsError)
		}
		return
	}
	if err != nil {
		t.Fatalf("settings: %v", err)
	}
	c.check(t, a, vendor, secrets)
}

// CheckConfigured checks a case against a destination of a config. The vendor is its own, with the names of the
// destination. The case has no settings, and secrets are written as <secret>.
func CheckConfigured(t T, file string, a adapter.Adapter, vendor adapter.Vendor, masker *adapter.Masker) {
	t.Helper()
	c := Load(t, file)
	if c.Settings.Kind != 0 || c.SettingsError != "" {
		t.Fatal("settings: those of the config are used; leave them out")
	}
	c.masker = masker
	c.check(t, a, vendor, nil)
}

func (c *Case) check(t T, a adapter.Adapter, vendor adapter.Vendor, secrets []adapter.Secret) {
	t.Helper()
	call := c.callFor(t, vendor.Names)
	outcome := translate(t, a, call, secrets)
	c.compare(t, outcome)
	outcome.Requests = c.walk(t, a, call, outcome.Requests, secrets)
	c.compareMerges(t, a, call, outcome)
	if c.Steps != nil && slices.ContainsFunc(outcome.Requests, func(r adapter.Request) bool { return r.Merges }) {
		if problem := markProblem(a, call, outcome); problem != "" {
			t.Error(problem)
		}
	}
	if problem := c.signProblem(outcome.Requests); problem != "" {
		t.Error(problem)
	}
	for _, answer := range c.Answers {
		answer.check(t, a, outcome.Requests)
	}
	if problem := takesPages(a, outcome.Requests, vendor.AnyBody); problem != "" {
		t.Error(problem)
	}
	if problem := probeProblem(a); problem != "" {
		t.Error(problem)
	}
	if problem := verifyProblem(a, secrets); problem != "" {
		t.Error(problem)
	}
	c.compareVerification(t, a)
}

// Translate asks an adapter as a case does, and checks what must hold of any call.
func Translate(t T, a adapter.Adapter, call *segment.Call, secrets []adapter.Secret) adapter.Outcome {
	t.Helper()
	return translate(t, a, call, secrets)
}

// Describe writes an outcome for a failure.
func Describe(o adapter.Outcome) string { return describe(o) }

// translate asks the adapter twice, and checks what must hold whatever the call.
func translate(t T, a adapter.Adapter, call *segment.Call, secrets []adapter.Secret) adapter.Outcome {
	t.Helper()
	before, _ := json.Marshal([]any{call, call.Context()})
	guard := adapter.NewGuard(a.Shared().BlockedIDs)
	outcome := guard.Translate(a, call)
	again := guard.Translate(a, call)
	if len(outcome.Requests) > 0 {
		checkMerges(t, a, call)
		if problem := markProblem(a, call, outcome); !outcome.Asks() && problem != "" {
			t.Error(problem)
		}
	}
	if _, isStepper := a.(adapter.Stepper); isStepper && outcome.Asks() {
		checkSteps(t, a, call, outcome.Requests, secrets)
	}
	if _, isMerger := a.(adapter.Merger); outcome.Condition != nil && !isMerger {
		t.Error("a condition needs an adapter.Merger, which says what is used")
	}
	after, _ := json.Marshal([]any{call, call.Context()})
	if !bytes.Equal(before, after) {
		t.Errorf("Translate or Merges modified the call:\n got %s\nwas %s", after, before)
	}
	if !reflect.DeepEqual(outcome, again) {
		t.Errorf("Translate is not repeatable:\n first %+v\nsecond %+v", outcome, again)
	}
	if problem := problemOf(outcome, secrets); problem != "" {
		t.Error(problem)
	}
	return outcome
}

// checkMerges checks what must hold of every merge.
func checkMerges(t T, a adapter.Adapter, call *segment.Call) {
	t.Helper()
	merger, is := a.(adapter.Merger)
	if !is {
		return
	}
	m, ok := merger.Merges(call)
	if again, okAgain := merger.Merges(call); m != again || ok != okAgain {
		t.Errorf("Merges is not repeatable:\n first %+v\nsecond %+v", m, again)
	}
	if ok && (m.To == "" || (m.From == "") != m.Rule.IsUse() || m.From == m.To || m.Limit < 0 || m.Limit > adapter.MaxMergeLimit) {
		t.Errorf("Merges: %+v is no merge", m)
	}
	if account := merger.Account(); account == "" || account != merger.Account() {
		t.Error("Account: empty, or not repeatable")
	}
}

// markProblem returns what is wrong with the marks of the requests that merge, or "". A rule that forbids a merge must leave
// something out of a call that is no alias, or the vendor must keep the device from a second user itself.
func markProblem(a adapter.Adapter, call *segment.Call, outcome adapter.Outcome) string {
	m, ok := adapter.MergeOf(a, call)
	joins := ok && call.Type != segment.Alias && !m.Rule.IsUse()
	marked := slices.ContainsFunc(outcome.Requests, func(r adapter.Request) bool { return r.Merges })
	switch {
	case marked && !joins:
		return "a request is marked as one that merges: an alias needs no mark, and of other calls Merges must name the merge"
	case joins && marked == m.FirstUserOnly:
		return "a call that is no alias merges: mark its requests that do (Request.Merges), or say Merge.FirstUserOnly, not both"
	}
	return ""
}

// compareMerges checks what the adapter says that the call merges.
func (c *Case) compareMerges(t T, a adapter.Adapter, call *segment.Call, outcome adapter.Outcome) {
	t.Helper()
	if c.Merges == nil {
		return
	}
	if len(outcome.Requests) == 0 {
		t.Fatal("merges: nothing is sent, and an adapter is not asked then")
	}
	got, ok := adapter.MergeOf(a, call)
	rule, known := mergeRules[c.Merges.Rule]
	want := adapter.Merge{Rule: rule, From: c.Merges.From, To: c.Merges.To, Limit: c.Merges.Limit, FirstUserOnly: c.Merges.FirstUserOnly}
	if !known || got != want || ok != (rule != 0) {
		t.Errorf("merges:\n got %+v\nwant %+v", got, *c.Merges)
	}
}

// Load reads a case, and fails where it is none.
func Load(t T, file string) *Case {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &Case{}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(c); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	expectations := 0
	for _, given := range []bool{c.Send != nil, c.Drop != "", c.Reject != "", c.SettingsError != ""} {
		if given {
			expectations++
		}
	}
	if c.Steps != nil && c.Send == nil && c.SettingsError == "" && expectations < 2 {
		return c
	}
	if expectations != 1 || c.Steps != nil {
		t.Fatalf("%s: give exactly one of send, drop, reject, settings_error, or steps with drop, reject or neither", file)
	}
	return c
}

// Body is the case's call as an SDK sends it.
func (c *Case) Body(t T) []byte {
	t.Helper()
	if c.Call == nil {
		return []byte(c.CallJSON)
	}
	body, err := json.Marshal(c.Call)
	if err != nil {
		t.Fatalf("call: %v", err)
	}
	return body
}

// CallFor parses the case's call as the ingress would, for a vendor.
func (c *Case) CallFor(t T, vendor adapter.Vendor) *segment.Call { return c.callFor(t, vendor.Names) }

func (c *Case) callFor(t T, names []string) *segment.Call {
	t.Helper()
	result, err := segment.Parse(c.Body(t), segment.Options{ReceivedAt: ReceivedAt})
	if err != nil {
		t.Fatalf("call: %v", err)
	}
	message := result.Messages[0]
	call, err := message.Decode()
	if err != nil {
		t.Fatalf("call: %v", err)
	}
	decision := segment.Route(message.Routing, names, false)
	if !decision.Enabled {
		t.Fatal("call: its integrations switch this vendor off")
	}
	call.Options = decision.Options
	return call
}

func (c *Case) compare(t T, got adapter.Outcome) {
	t.Helper()
	c.compareCondition(t, got.Condition)
	if !slices.Equal(got.Ignored, c.Ignored) {
		t.Errorf("ignored:\n got %q\nwant %q", got.Ignored, c.Ignored)
	}
	switch {
	case c.Steps != nil: // walk compares it
	case c.Drop != "":
		if string(got.Dropped) != c.Drop {
			t.Errorf("drop:\n got %s\nwant %s", describe(got), c.Drop)
		}
	case c.Reject != "":
		if got.Rejected == nil || !strings.Contains(got.Rejected.Error(), c.Reject) {
			t.Errorf("reject:\n got %s\nwant %s", describe(got), c.Reject)
		}
	case len(got.Requests) != len(c.Send):
		t.Errorf("requests: got %d, want %d:\n%s", len(got.Requests), len(c.Send), describe(got))
	default:
		for i, want := range c.Send {
			want.compare(t, i, got.Requests[i], c.masker)
		}
	}
}

func (c *Case) compareCondition(t T, got *adapter.Condition) {
	t.Helper()
	want := (*adapter.Condition)(nil)
	if c.IfUsed != nil {
		want = &adapter.Condition{UsedID: c.IfUsed.ID, Else: adapter.Reason(c.IfUsed.Else)}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("if_used:\n got %+v\nwant %+v", got, want)
	}
}

func (want wantRequest) compare(t T, i int, r adapter.Request, masker *adapter.Masker) {
	t.Helper()
	shown := adapter.Show(r)
	if masker != nil {
		shown = shown.Mask(masker)
	}
	equal := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(normal(got), normal(want)) {
			t.Errorf("request %d, %s:\n got %s\nwant %s", i, what, text(got), text(want))
		}
	}
	equal("request", shown.Method+" "+shown.URL, want.Request)
	equal("query", shown.Query, want.Query)
	equal("form", shown.Form, want.Form)
	equal("json", shown.JSON, want.JSON)
	equal("rate", shown.Rate, want.Rate)
	equal("asks", r.Asks, want.Asks)
	sign := ""
	if want.Sign != nil {
		sign = want.Sign.Scheme + " " + want.Sign.ID
	}
	equal("sign", shown.Sign, sign)
	header := map[string]string{}
	for name, value := range shown.Header {
		if name != "Content-Type" {
			header[name] = value
		}
	}
	equal("header", header, want.Header)
	key := ""
	if r.Batch != nil {
		key = r.Batch.Key
	}
	equal("batch", key, want.Batch)
	equal("merges", r.Merges, want.Merges)
	equal("envelope", shown.Envelope, want.Envelope)
	equal("wait", shown.Wait, want.Wait)
}

func (a answerCase) check(t T, by adapter.Adapter, requests []adapter.Request) {
	t.Helper()
	if a.Request >= len(requests) {
		t.Fatalf("answer %d: there is no request %d", a.Status, a.Request)
	}
	batch := make([]adapter.Request, max(a.Items, 1))
	for i := range batch {
		batch[i] = requests[a.Request]
	}
	got := judge(by, batch, a.answer())
	if problem := reasonProblem(got); problem != "" {
		t.Error(problem)
	}
	var words []string
	for _, v := range got {
		word := v.Class.String()
		if v.Note != "" {
			word += "/" + v.Note
		}
		words = append(words, word)
	}
	if !reflect.DeepEqual(words, a.Verdicts) {
		t.Errorf("answer %d %s:\n got %v\nwant %v", a.Status, a.Body, words, a.Verdicts)
	}
}

func (a answerCase) answer() adapter.Answer {
	return adapter.Answer{
		Status: a.Status, ContentType: a.ContentType, Body: []byte(a.Body), TooLong: a.TooLong, AfterPossibleDelivery: a.AfterPossibleDelivery,
	}
}

// reasonProblem returns what is wrong with the reasons of the verdicts that drop, or "".
func reasonProblem(verdicts []adapter.Verdict) string {
	for _, v := range verdicts {
		if v.Class == adapter.Dropped && !slices.Contains(adapter.DropReasons, adapter.Reason(v.Note)) {
			return fmt.Sprintf("the verdict dropped has the note %q, which is no known drop reason", v.Note)
		}
	}
	return ""
}

// judge is adapter.Judge, except that a panic is the test's.
func judge(by adapter.Adapter, requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	if responder, ok := by.(adapter.Responder); ok {
		return adapter.Alone(responder.Judge(requests, answer))
	}
	return adapter.Verdicts(len(requests), answer.Verdict())
}

// pages are what others answer in the vendor's place.
var pages = []adapter.Answer{
	{ContentType: "text/html; charset=utf-8", Body: []byte("<!DOCTYPE html>\n<html><title>Sign in</title></html>")},
	{ContentType: "text/html", Body: []byte("Blocked by the firewall.")},
	{ContentType: "application/json", Body: []byte("\xef\xbb\xbf\r\n <html><title>Welcome</title></html>")},
	{Body: []byte("\xff\xfe<\x00h\x00t\x00m\x00l\x00>\x00")},
	{Body: []byte("<html>" + strings.Repeat("x", 60_000)), TooLong: true},
}

// pageStatuses are those that are a success somewhere, or may be where an earlier try is possibly delivered.
var pageStatuses = []int{200, 201, 202, 203, 205, 206, 207, 226, 302, 304, 400, 404, 405, 409, 410, 412, 422}

// takesPages returns what is wrong where a web page is taken for the vendor's word. With a 2xx it is adapter.Answer.Foreign, unless the
// vendor's body may be any.
func takesPages(a adapter.Adapter, requests []adapter.Request, anyBody bool) string {
	for _, r := range requests {
		sent := []adapter.Request{r}
		if r.Batch != nil {
			sent = append(sent, r)
		}
		for _, page := range pages {
			for _, page.Status = range pageStatuses {
				if anyBody && page.Status < 300 {
					continue
				}
				for _, page.AfterPossibleDelivery = range []bool{false, true} {
					if problem := takesPage(a, sent, page); problem != "" {
						return problem
					}
				}
			}
		}
	}
	return ""
}

func takesPage(a adapter.Adapter, sent []adapter.Request, page adapter.Answer) string {
	for _, v := range judge(a, sent, page) {
		foreign := v.Class == adapter.Later && v.Note == string(adapter.NotTheVendor)
		if v.Class == adapter.Delivered || v.Class == adapter.Dropped || page.Status < 300 && !foreign {
			return fmt.Sprintf("%s %s: a web page with status %d is %s/%s, want later/not_the_vendor (begin Judge with answer.Verdict):\n%.60q",
				sent[0].Method, sent[0].URL, page.Status, v.Class, v.Note, page.Body)
		}
	}
	return ""
}

// Build makes an adapter from the case's settings, read as the config's are.
func (c *Case) Build(vendor adapter.Vendor) (adapter.Adapter, []adapter.Secret, error) {
	return build(vendor, &c.Settings)
}

func build(vendor adapter.Vendor, node *yaml.Node) (adapter.Adapter, []adapter.Secret, error) {
	section := &settings{node: node}
	a, err := vendor.New(section)
	if problems := section.decoder.Problems(); len(problems) > 0 {
		err = errors.Join(err, problems[0])
	}
	var secrets []adapter.Secret
	for _, value := range section.decoder.Secrets() {
		secrets = append(secrets, adapter.NewSecret(value))
	}
	return a, secrets, err
}

type settings struct {
	node    *yaml.Node
	decoder strictyaml.Decoder
}

func (s *settings) Decode(into any) error {
	s.decoder.Lookup = func(string) (string, bool) { return "", false }
	s.decoder.ReadFile = os.ReadFile
	s.decoder.Decode(s.node, "", into)
	return nil
}

// problemOf checks what must hold of every outcome, whatever the call: exactly one field is set, requests are absolute and
// https, no secret stands in an error.
func problemOf(o adapter.Outcome, secrets []adapter.Secret) string {
	set := 0
	for _, isSet := range []bool{len(o.Requests) > 0, o.Dropped != "", o.Rejected != nil} {
		if isSet {
			set++
		}
	}
	if set != 1 {
		return fmt.Sprintf("an outcome must be exactly one of send, drop, reject: %s", describe(o))
	}
	if o.Rejected != nil {
		for _, s := range secrets {
			if strings.Contains(o.Rejected.Error(), s.Reveal()) {
				return "a secret stands in the rejection"
			}
		}
	}
	if c := o.Condition; c != nil && (len(o.Requests) == 0 || c.UsedID == "" || !slices.Contains(adapter.DropReasons, c.Else)) {
		return fmt.Sprintf("%+v is no condition of an outcome that sends", c)
	}
	if o.Dropped != "" && !slices.Contains(adapter.DropReasons, o.Dropped) {
		return fmt.Sprintf("%q is no known drop reason", o.Dropped)
	}
	if problem := problemOfAsking(o); problem != "" {
		return problem
	}
	for _, r := range o.Requests {
		u, err := url.Parse(r.URL)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return "not an absolute https URL: " + r.URL
		}
		if len(r.Body) > 0 && r.Header["Content-Type"] == "" {
			return "a body without a Content-Type: " + string(r.Body)
		}
		if r.Batch != nil && !json.Valid(r.Body) {
			return "a batchable body must be one JSON value: " + string(r.Body)
		}
		if problem := problemOfBatch(r); problem != "" {
			return problem
		}
		if r.Wait < 0 || r.Wait > adapter.MaxWait {
			return fmt.Sprintf("a wait of %s is not between 0 and %s", r.Wait, adapter.MaxWait)
		}
		if r.Rate != nil && (r.Rate.Key == "" || r.Rate.PerSecond <= 0) {
			return fmt.Sprintf("a rate needs a key, and more than 0 a second: %+v", *r.Rate)
		}
		if problem := problemOfSign(r); problem != "" {
			return problem
		}
		for name, value := range r.Header {
			if strings.ContainsAny(name+value, "\r\n\x00") {
				return fmt.Sprintf("header %q holds a line break or NUL", name)
			}
		}
	}
	return ""
}

// problemOfBatch returns what is wrong where two requests in one exchange are not JSON although their Content-Type says so.
func problemOfBatch(r adapter.Request) string {
	if r.Batch == nil || !strings.HasPrefix(r.Header["Content-Type"], "application/json") {
		return ""
	}
	if body := adapter.Body([]adapter.Request{r, r}); !json.Valid(body) {
		return "two in one exchange are not JSON: " + string(body)
	}
	return ""
}

// normal gives values that mean the same one shape: through JSON, with nothing for empty.
func normal(v any) any {
	encoded, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	var out any
	_ = decoder.Decode(&out)
	switch o := out.(type) {
	case map[string]any:
		if len(o) == 0 {
			return nil
		}
	case nil:
		return nil
	}
	return out
}

func text(v any) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func describe(o adapter.Outcome) string {
	switch {
	case o.Dropped != "":
		return "drop: " + string(o.Dropped)
	case o.Rejected != nil:
		return "reject: " + o.Rejected.Error()
	case len(o.Requests) == 0:
		return "nothing"
	}
	var shown []adapter.Shown
	for _, r := range o.Requests {
		shown = append(shown, adapter.Show(r))
	}
	return text(shown)
}
