package segment

import (
	"cmp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"aka/destinations/adapter"
	"aka/destinations/adapter/adaptertest"
	"aka/router/segment"
)

func TestCases(t *testing.T) { adaptertest.Run(t, Vendor, "testdata") }

func FuzzTranslate(f *testing.F) { adaptertest.Fuzz(f, Vendor, "testdata") }

func BenchmarkTranslate(b *testing.B) { adaptertest.Benchmark(b, Vendor, "testdata") }

// settings are a program's: it knows its name, and those of the destination.
type settings struct {
	config      Config
	environment adapter.Environment
}

func (s settings) Decode(into any) error {
	c := into.(*Config)
	c.WriteKey, c.Endpoint = adapter.NewSecret("wr1te-key"), s.config.Endpoint
	c.SentAt, c.Flavor = cmp.Or(s.config.SentAt, c.SentAt), cmp.Or(s.config.Flavor, c.Flavor)
	return nil
}

func (s settings) Environment() adapter.Environment { return s.environment }

func build(t *testing.T, s settings) adapter.Adapter {
	t.Helper()
	a, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// of is an adapter of a flavor.
func of(t *testing.T, flavor Flavor) adapter.Adapter {
	t.Helper()
	return build(t, settings{config: Config{Flavor: flavor, Common: adapter.Common{Endpoint: "https://up.example/v1"}}})
}

func callOf(t *testing.T, body string) *segment.Call {
	t.Helper()
	result, err := segment.Parse([]byte(body), segment.Options{ReceivedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	call, err := result.Messages[0].Decode()
	if err != nil {
		t.Fatal(err)
	}
	return call
}

func TestACallGoesOnByteForByte(t *testing.T) {
	const properties = `{ "price": 19.90,"big":123456789012345678901234567890,"x":1E+3,"small":-0.0,"text":"\u00e9\/<é>", "twice":1,"twice":2 }`
	name := "aka-1"
	a := build(t, settings{environment: adapter.Environment{Instance: &name}})
	got := a.Translate(callOf(t, `{"userId":"u\u0031","type":"track","properties":`+properties+`,"messageId":"m1","event":"E"}`))
	want := `{"type":"track","messageId":"m1","userId":"u1","timestamp":"2026-01-02T03:04:05.000Z","properties":` + properties + `,"event":"E","context":{"aka":{"via":["aka-1"]}}}`
	if len(got.Requests) != 1 || string(got.Requests[0].Body) != want {
		t.Errorf("got  %+v\nwant %s", got, want)
	}
}

func TestWhatIsNoUTF8IsReplaced(t *testing.T) {
	got := build(t, settings{}).Translate(callOf(t, "{\"type\":\"track\",\"userId\":\"u1\",\"event\":\"E\xff\",\"integrations\":{\"A\xff\":true}}"))
	if len(got.Requests) != 1 || !utf8.Valid(got.Requests[0].Body) || strings.Count(string(got.Requests[0].Body), "\uFFFD") < 2 {
		t.Errorf("got %+v", got)
	}
}

// The name may be made after the adapter is, and the destination has more names than the vendor.
func TestTheProgramNamesTheInstanceAndTheDestination(t *testing.T) {
	name, names := "", segment.Names{}
	a := build(t, settings{environment: adapter.Environment{Instance: &name, Names: &names}})
	name, names = "aka-1", segment.Names{List: []string{"mine", "Segment", "More"}, Lenient: true}
	const call = `{"type":"track","userId":"u1","event":"E","integrations":{"mine":true,"More":{},"seg ment":true,"Repeater":true,"Vero":true},"context":{"aka":{"via":["aka-2"]}}}`
	got := string(a.Translate(callOf(t, call)).Requests[0].Body)
	if want := `"integrations":{"Repeater":true,"Vero":true},"context":{"aka":{"via":["aka-2","aka-1"]}}}`; !strings.HasSuffix(got, want) {
		t.Errorf("got %s\nwant … %s", got, want)
	}
	if got := a.Translate(callOf(t, strings.Replace(call, "aka-2", "aka-1", 1))); got.Dropped != adapter.ForwardingLoop {
		t.Errorf("got %+v", got)
	}
}

func TestWithoutANameItsPlaceIsShown(t *testing.T) {
	for _, environment := range []adapter.Environment{{}, {Instance: new(string)}} {
		got := build(t, settings{environment: environment}).Translate(callOf(t, `{"type":"track","userId":"u1","event":"E"}`))
		if body := string(got.Requests[0].Body); !strings.Contains(body, `"via":["`+unnamed+`"]`) {
			t.Errorf("got %s", body)
		}
	}
}

func TestTheFlavorDecidesOnTheOrder(t *testing.T) {
	for flavor, want := range map[Flavor]adapter.Order{
		FlavorSegment: adapter.OrderIdentity, FlavorRudderStack: adapter.OrderIdentity, FlavorJitsu: adapter.OrderIdentity,
		FlavorCustomerIO: adapter.OrderStrict, FlavorAka: adapter.OrderStrict,
	} {
		if got := of(t, flavor).(adapter.Ordered).Order(); got != want {
			t.Errorf("%s: got %s", flavor, got)
		}
	}
}

// What a call says must not stand where the time of the attempt goes.
func TestTheTimeOfTheAttemptStandsInTheEnvelope(t *testing.T) {
	a := build(t, settings{config: Config{Flavor: FlavorCustomerIO, SentAt: SentAtAttempt}})
	requests := a.Translate(callOf(t, `{"type":"track","messageId":"m1","userId":"u1","event":"<sentAt>","integrations":{"<sentAt>":true}}`)).Requests
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if body, want := string(adapter.BodyAt(requests, at)), `],"sentAt":"2026-01-02T03:04:05.000Z","integrations":{"<sentAt>":true}}`; !strings.HasSuffix(body, want) {
		t.Errorf("got %s", body)
	}
	if first, again := string(adapter.BodyAt(requests, at)), string(adapter.BodyAt(requests, at.Add(time.Hour))); first == again {
		t.Error("the time is not that of the attempt")
	}
	none := build(t, settings{}).Translate(callOf(t, `{"type":"track","messageId":"m1","userId":"u1","event":"E","sentAt":"2026-01-02T03:04:05Z"}`)).Requests
	if first, again := string(adapter.BodyAt(none, at)), string(adapter.BodyAt(none, at.Add(time.Hour))); first != again || strings.Contains(first, "sentAt") {
		t.Errorf("a retry sends other bytes: %s", first)
	}
}

func TestCallsThatSayOtherThingsGoInOtherBatches(t *testing.T) {
	key := func(flavor Flavor, integrations string) string {
		return of(t, flavor).Translate(callOf(t, `{"type":"track","userId":"u1","event":"E","integrations":`+integrations+`}`)).Requests[0].Batch.Key
	}
	if one, other := key(FlavorCustomerIO, `{"A":true}`), key(FlavorCustomerIO, `{"A":false}`); one == other || one != key(FlavorCustomerIO, `{"A":true}`) {
		t.Errorf("customerio: %q and %q", one, other)
	}
	if one, other := key(FlavorSegment, `{"A":true}`), key(FlavorSegment, `{"A":false}`); one != other {
		t.Errorf("segment: %q and %q", one, other)
	}
}

func TestAVerdictIsAboutACallOrAboutTheAccount(t *testing.T) {
	a := of(t, FlavorJitsu)
	var requests []adapter.Request
	for _, id := range []string{"m1", "m/2", "m3"} {
		requests = append(requests, a.Translate(callOf(t, `{"type":"track","messageId":"`+id+`","userId":"u1","event":"E"}`)).Requests...)
	}
	answer := adapter.Answer{Status: 200, Body: []byte(`{"ok":false,"receivedEvents":3,"okEvents":1,"errors":["Message ID: m_2: bad","Message ID: m3: quota exceeded: later"]}`)}
	verdicts := adapter.Judge(a, requests, answer)
	if verdicts[0].Class != adapter.Delivered || verdicts[1].Class != adapter.Never || verdicts[1].Detail != "bad" || verdicts[2].Class != adapter.Later {
		t.Errorf("got %+v", verdicts)
	}
	answer = adapter.Answer{Status: 200, Body: []byte(`{"ok":false,"errors":["Message ID: m1: no destinations found for stream: s1"]}`)}
	if verdicts := adapter.Judge(a, requests[:1], answer); !verdicts[0].AboutAccount(200) {
		t.Errorf("no destination: got %+v", verdicts)
	}
	answer = adapter.Answer{Status: 400, Body: []byte(`{"error":"error processing message: no key"}`)}
	if verdicts := adapter.Judge(a, requests, answer); !verdicts[0].AboutAccount(400) {
		t.Errorf("a key that cannot be read: got %+v", verdicts)
	}
	answer = adapter.Answer{Status: 400, Body: []byte(`{"success":false,"code":"https_required"}`)}
	if verdicts := adapter.Judge(of(t, FlavorAka), requests, answer); !verdicts[0].AboutAccount(400) {
		t.Errorf("another aka that wants https: got %+v", verdicts)
	}
}

func TestTheProbeHasNoCall(t *testing.T) {
	for _, flavor := range []Flavor{FlavorSegment, FlavorRudderStack, FlavorJitsu, FlavorCustomerIO, FlavorAka} {
		p := of(t, flavor).(adapter.Prober).Probe()
		if p.Request.URL != "https://up.example/v1/batch" || string(p.Request.Body) != `{"batch":[]}` || p.Control == nil || p.Control.Header["Authorization"] == p.Request.Header["Authorization"] {
			t.Errorf("%s: got %+v", flavor, p)
		}
		if strict := p.Request.Header["X-Strict-Mode"] != ""; strict != (flavor == FlavorCustomerIO) {
			t.Errorf("%s: strict mode is %t", flavor, strict)
		}
	}
}

// What stands behind another endpoint is asked there, whatever its flavor.
func TestTheProbeOfSegmentAsksForTheSource(t *testing.T) {
	p := build(t, settings{config: Config{Region: "eu"}}).(adapter.Prober).Probe()
	if p.Request.URL != "https://cdn.segment.com/v1/projects/wr1te-key/settings" || p.Request.Body != nil || p.Control == nil || p.Control.URL == p.Request.URL {
		t.Fatalf("got %+v", p)
	}
	for _, c := range []struct {
		own, control int
		want         adapter.Finding
	}{
		{200, 404, adapter.Accepted},
		{404, 404, adapter.NotAccepted},
		{200, 200, adapter.Reachable},
		{404, 200, adapter.Reachable},
		{403, 404, adapter.NotAccepted},
		{503, 404, adapter.Unreachable},
	} {
		found, sentence := p.ReadAnswers(adapter.Answer{Status: c.own}, adapter.Answer{Status: c.control})
		if found != c.want || !strings.Contains(sentence, "region") {
			t.Errorf("%d and %d: found %s, %q", c.own, c.control, found, sentence)
		}
	}
}
