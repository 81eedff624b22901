package mixpanel

import (
	"strings"
	"testing"
	"time"

	"aka/destinations/adapter"
	"aka/destinations/adapter/adaptertest"
	"aka/router/segment"
)

func TestCases(t *testing.T) { adaptertest.Run(t, Vendor, "testdata") }

func FuzzTranslate(f *testing.F) { adaptertest.Fuzz(f, Vendor, "testdata") }

func BenchmarkTranslate(b *testing.B) { adaptertest.Benchmark(b, Vendor, "testdata") }

// FuzzJudge holds whatever a vendor, or something before it, may answer: every request gets one verdict, and none is
// delivered by an answer that failed.
func FuzzJudge(f *testing.F) {
	for _, body := range []string{
		``, `0`, `1`, `{"status":1,"error":null}`, `{"status":0,"error":"invalid"}`, `{"status":{}}`, `<html>`,
		`{"code":400,"failed_records":[{"index":1,"field":"properties.time","message":"invalid"}]}`,
		`{"failed_records":[{"index":1e99},"x",null]}`, `{"failed_records":[{"in`,
	} {
		f.Add(200, body, 3, true, false)
		f.Add(200, body, 0, false, true)
		f.Add(400, body, 3, false, true)
	}
	a := newTranslator(Config{}, "https://api.mixpanel.com")
	f.Fuzz(func(t *testing.T, status int, body string, n int, events, tooLong bool) {
		n = 1 + (n&0x7fffffff)%5
		to := a.profiles
		if events {
			to = a.events
		}
		requests := make([]adapter.Request, n)
		for i := range requests {
			requests[i] = to.request([]byte("{}"))
		}
		verdicts := a.Judge(requests, adapter.Answer{Status: status, Body: []byte(body), TooLong: tooLong})
		if len(verdicts) != n {
			t.Fatalf("%d verdicts on %d requests", len(verdicts), n)
		}
		all := adapter.StatusVerdict(status).Class
		for _, v := range verdicts {
			if v.Class == 0 || v.Class == adapter.Delivered && all != adapter.Delivered && all != adapter.Never {
				t.Errorf("%d %q: %s", status, body, v.Class)
			}
			if v.Class == adapter.Delivered && strings.HasPrefix(body, "<") || v.Class == adapter.Split && n == 1 && all != adapter.Split {
				t.Errorf("%d %q: %s of %d", status, body, v.Class, n)
			}
		}
	})
}

func TestVerdictsCarryMixpanelsMessage(t *testing.T) {
	a := newTranslator(Config{}, "https://api.mixpanel.com")
	requests := []adapter.Request{a.events.request([]byte("{}")), a.events.request([]byte("{}"))}
	for _, c := range []struct {
		status int
		body   string
		want   [2]string
	}{
		{200, `{"code":200,"status":"OK"}`, [2]string{}},
		{400, `{"failed_records":[{"index":1,"field":"properties.time","message":"too old"}]}`, [2]string{"", "properties.time: too old"}},
		{400, `{"failed_records":[{"index":0,"message":"too old"}]}`, [2]string{"too old", ""}},
		{401, `{"error":"Invalid credentials"}`, [2]string{"Invalid credentials", "Invalid credentials"}},
		{200, `{"status":0,"error":"invalid"}`, [2]string{"invalid", "invalid"}},
		{502, " <html>\n", [2]string{"<html>", "<html>"}},
	} {
		verdicts := a.Judge(requests, adapter.Answer{Status: c.status, Body: []byte(c.body)})
		for i, v := range verdicts {
			if v.Detail != c.want[i] {
				t.Errorf("%d %s: detail %d is %q, want %q", c.status, c.body, i, v.Detail, c.want[i])
			}
		}
	}
}

type settings func(*Config)

func (s settings) Decode(into any) error {
	s(into.(*Config))
	return nil
}

func TestOnlyTheLegacyModeSettles(t *testing.T) {
	minute := time.Minute
	for _, c := range []struct {
		mode IDMerge
		own  *time.Duration
		want time.Duration
	}{
		{Legacy, nil, time.Second},
		{Legacy, &minute, time.Minute},
		{Original, nil, 0},
		{Simplified, nil, 0},
	} {
		a, err := New(settings(func(config *Config) {
			config.Token, config.IDMerge, config.Settle = adapter.NewSecret("t0ken"), c.mode, c.own
		}))
		if err != nil {
			t.Fatal(err)
		}
		got := time.Duration(0)
		if settle := a.Shared().Settle; settle != nil {
			got = *settle
		}
		if got != c.want {
			t.Errorf("%s: settles %s, want %s", c.mode, got, c.want)
		}
	}
}

func TestBatchesKeepToMixpanelsLimits(t *testing.T) {
	a := newTranslator(Config{}, "https://api.mixpanel.com")
	for _, c := range []struct {
		endpoint endpoint
		want     adapter.Batch
	}{
		{a.events, adapter.Batch{Key: "import", MaxItems: 2000, MaxBytes: 10_000_000}},
		{a.profiles, adapter.Batch{Key: "engage", MaxItems: 2000, MaxBytes: 1_000_000}},
		{a.groups, adapter.Batch{Key: "groups", MaxItems: 2000, MaxBytes: 1_000_000}},
	} {
		if got := *c.endpoint.batch; got != c.want {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
	}
	if a.commands.batch != nil {
		t.Error("identity commands must go alone")
	}
}

// Mixpanel cuts ids at 255 bytes. The device prefix must not push the end of two ids over that.
func TestDeviceIDThatIsTooLongWithItsPrefixIsDropped(t *testing.T) {
	longest := strings.Repeat("x", adapter.MaxIDLength-len(devicePrefix))
	simplified := newTranslator(Config{IDMerge: Simplified, LinkOnAlias: "Linked"}, "https://api.mixpanel.com")
	original := newTranslator(Config{IDMerge: Original}, "https://api.mixpanel.com")
	track := func(userID, anonymousID string) segment.Header {
		return segment.Header{Type: segment.Track, UserID: userID, AnonymousID: anonymousID}
	}
	alias := func(previousID string) segment.Header {
		return segment.Header{Type: segment.Alias, UserID: "jane", PreviousID: previousID, AnonymousID: previousID}
	}
	for name, c := range map[string]struct {
		by   *translator
		call segment.Header
		want adapter.Reason
	}{
		"fits":                      {simplified, track("", longest), ""},
		"does not":                  {simplified, track("", longest+"x"), adapter.IDTooLong},
		"prefixed already, fits":    {simplified, track("", devicePrefix+longest), ""},
		"beside a user, linked":     {simplified, track("jane", longest+"x"), adapter.IDTooLong},
		"linked by an alias, fits":  {simplified, alias(longest), ""},
		"linked by an alias":        {simplified, alias(longest + "x"), adapter.IDTooLong},
		"a mode without the prefix": {original, track("", longest+"x"), ""},
	} {
		if got := c.by.Translate(&segment.Call{Header: c.call}); got.Dropped != c.want {
			t.Errorf("%s: got %q, want %q", name, got.Dropped, c.want)
		}
	}
}
