package explain

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/config/configtest"
	"aka/router/httpclient"
	"aka/router/segment"
)

// What a vendor is asked holds what it is asked about, and goes where calls go; the control holds no secret.
func TestAVendorIsProbedWithItsOwnCredentialsAndWithNone(t *testing.T) {
	probed := 0
	for name, d := range load(t, withLongKeys(t, configtest.Minimal), config.LoadOptions{}).Destinations {
		prober, ok := d.Adapter.(adapter.Prober)
		if !ok {
			continue
		}
		probed++
		probe := prober.Probe()
		shown := func(r adapter.Request) string { return fmt.Sprint(r.Method, r.URL, r.Header, string(r.Body)) }
		holdsSecret := func(r adapter.Request) bool { return d.Masker.Mask(shown(r)) != shown(r) }
		if !strings.HasPrefix(probe.Request.URL, "https://") || holdsSecret(probe.Request) != (probe.Control != nil) {
			t.Errorf("%s: it asks %s", name, shown(probe.Request))
		}
		if probe.Control == nil {
			if probe.Unknown == "" {
				t.Errorf("%s: nothing says why the credentials cannot be tried", name)
			}
			continue
		}
		withMadeUp := strings.ReplaceAll(d.Masker.Mask(probe.Request.URL), "<secret>", adapter.MadeUp)
		if holdsSecret(*probe.Control) || probe.Control.URL != withMadeUp || len(probe.Keys) == 0 {
			t.Errorf("%s: the control asks %s about %q", name, shown(*probe.Control), probe.Keys)
		}
	}
	if probed == 0 {
		t.Error("no vendor was probed")
	}
}

// withLongKeys lengthens the credentials that are probed, where a golden case has one that is too short to be masked in a text.
func withLongKeys(t *testing.T, text string) string {
	t.Helper()
	var whole map[string]any
	if err := yaml.Unmarshal([]byte(text), &whole); err != nil {
		t.Fatal(err)
	}
	for name, d := range load(t, text, config.LoadOptions{}).Destinations {
		prober, ok := d.Adapter.(adapter.Prober)
		if !ok {
			continue
		}
		settings := whole["destinations"].(map[string]any)[name].(map[string]any)["settings"].(map[string]any)
		for _, key := range prober.Probe().Keys {
			if value, ok := settings[key].(string); ok && len(value) < 4 {
				settings[key] = value + "-that-is-long"
			}
		}
	}
	long, err := yaml.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	return string(long)
}

func TestAVendorThatKnowsNothingHarmlessIsNotProbed(t *testing.T) {
	d := &config.Destination{Destination: &destinations.Destination{Name: "mine", Adapter: mute{}}}
	if found := probe(d); found.Finding != adapter.NotProbed || found.Failed() || found.Meaning == "" {
		t.Errorf("%+v", found)
	}
}

func TestAProbeGoesToNoPrivateAddress(t *testing.T) {
	local := load(t, `
sources: { website: { write_key: dev } }
destinations: { vero: { settings: { auth_token: token-2, endpoint: "http://localhost:1" } } }
delivery: { allow_private: true }
`, config.LoadOptions{})
	d := local.Destinations["vero"]
	d.Delivery.AllowPrivate = false
	if found := probe(d); found.Finding != adapter.Unreachable || !strings.Contains(found.Said, "private") {
		t.Errorf("%+v", found)
	}
}

func TestAProbeWhoseControlWasNotAnsweredKnowsNothing(t *testing.T) {
	probe := adapter.Probe{Control: &adapter.Request{}, Unknown: "Not said"}
	for control, want := range map[int]string{0: "nothing is known", 503: "nothing is known", 200: "does not report whether the credentials are right. Not said"} {
		found := Probed{Finding: probe.Judge(200, control), Status: 200, ControlStatus: control}
		if got := meaning("mine", probe, found); found.Finding != adapter.Reachable || !strings.Contains(got, want) {
			t.Errorf("%d: %s, %s", control, found.Finding, got)
		}
	}
}

// A vendor may answer with what it was sent.
func TestWhatAVendorSaidIsMaskedBeforeItIsCut(t *testing.T) {
	secret := "s3cret-token-of-some-length"
	masker := adapter.NewMasker([]adapter.Secret{adapter.NewSecret(secret)})
	for before := range 2 * maxSaid {
		got := said(httpclient.Response{Status: 401, Body: []byte(strings.Repeat("x", before) + secret + "\n and\tmore \xff")}, masker)
		if strings.Contains(got, "s3cre") || len(got) > maxSaid || strings.ContainsAny(got, "\n\t") || !utf8.ValidString(got) {
			t.Fatalf("after %d bytes: %q", before, got)
		}
	}
}

// The whole way: what the vendor answers reaches the adapter, and what that says of it is masked and cut.
func TestAProbeReadsTheBodyOfTheAnswer(t *testing.T) {
	const secret = "s3cret-token-of-some-length"
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"error":"key %s is of no account","pad":"%s"}`, r.Header.Get("Authorization"), strings.Repeat("x", 100_000))
	}))
	defer vendor.Close()
	loaded := load(t, `
sources: { website: { write_key: dev } }
destinations: { vero: { settings: { auth_token: token-2, endpoint: "http://localhost:1" } } }
delivery: { allow_private: true }
`, config.LoadOptions{})
	d := loaded.Destinations["vero"]
	reads := &reading{request: adapter.Request{Method: "GET", URL: vendor.URL, Header: map[string]string{"Authorization": secret}}}
	d.Adapter, d.Masker = reads, adapter.NewMasker([]adapter.Secret{adapter.NewSecret(secret)})
	found := probe(d)
	if found.Finding != adapter.NotAccepted || found.Status != 400 || strings.Contains(found.Meaning+found.Said, secret) {
		t.Errorf("%+v", found)
	}
	if n := len(reads.own.Body); n == 0 || n > 64<<10 || !reads.own.TooLong {
		t.Errorf("the adapter got %d bytes, the end of it: %t", n, !reads.own.TooLong)
	}
}

// reading is an adapter that finds in the body that the key is refused.
type reading struct {
	mute
	request adapter.Request
	own     adapter.Answer
}

func (r *reading) Probe() adapter.Probe {
	return adapter.Probe{Request: r.request, Keys: []string{"key"}, Read: func(own, _ adapter.Answer) (adapter.Finding, string) {
		r.own = own
		if strings.Contains(string(own.Body), "is of no account") {
			return adapter.NotAccepted, "said " + string(own.Body)
		}
		return "", ""
	}}
}

type mute struct{ adapter.Common }

func (mute) Translate(*segment.Call) adapter.Outcome { return adapter.Drop(adapter.NothingToSend) }
