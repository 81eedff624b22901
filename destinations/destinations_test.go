package destinations

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"aka/destinations/adapter"
	"aka/destinations/kissmetrics"
	"aka/destinations/vero"
	"aka/router/segment"
)

// settings decode by filling in what a test wants.
type settings func(into any)

func (s settings) Decode(into any) error {
	s(into)
	return nil
}

// testType is the type of these tests' vendor. A folder of Go code cannot have that name.
const testType = "test-vendor"

// kind is a vendor of these tests' own: it sends every call it is asked about, and remembers nothing.
type kind struct{ adapter.Common }

func (*kind) Translate(*segment.Call) adapter.Outcome {
	return adapter.Send(adapter.Request{Method: "POST", URL: "https://vendor.example"})
}

func newDestination(t *testing.T, common adapter.Common) *Destination {
	t.Helper()
	build := func(s adapter.Settings) (adapter.Adapter, error) {
		k := &kind{}
		return k, s.Decode(&k.Common)
	}
	Vendors[testType] = adapter.Vendor{Names: []string{"Kind"}, Order: adapter.OrderStrict, Renames: true, New: build}
	t.Cleanup(func() { delete(Vendors, testType) })
	d, err := New("mine", testType, settings(func(into any) { *into.(*adapter.Common) = common }))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func message(t *testing.T, body string) *segment.Message {
	t.Helper()
	result, err := segment.Parse([]byte(body), segment.Options{ReceivedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	return &result.Messages[0]
}

func TestEveryVendorHasNamesAndAnOrder(t *testing.T) {
	for vendorType, vendor := range Vendors {
		isNamed := len(vendor.Names) > 0 || vendorType == "http" // which has the names that its settings give
		if !isNamed || vendor.Order == "" || vendor.New == nil {
			t.Errorf("%s: got %+v", vendorType, vendor)
		}
	}
}

func TestNewTakesWhatTheVendorSays(t *testing.T) {
	settle := 3 * time.Second
	d := newDestination(t, adapter.Common{Settle: &settle})
	if d.Name != "mine" || d.Type != testType || d.Order != adapter.OrderStrict || !d.Renames || d.Settle != settle || !slices.Equal(d.Names, []string{"mine", "Kind"}) {
		t.Errorf("got %+v", d)
	}
}

// particular is an adapter whose settings decide on the order.
type particular struct{ kind }

func (particular) Order() adapter.Order { return adapter.OrderNone }

func TestAnAdapterMaySayWhichOrderItNeeds(t *testing.T) {
	Vendors[testType] = adapter.Vendor{Order: adapter.OrderStrict, New: func(adapter.Settings) (adapter.Adapter, error) { return &particular{}, nil }}
	t.Cleanup(func() { delete(Vendors, testType) })
	if d, err := New("mine", testType, nil); err != nil || d.Order != adapter.OrderNone {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestVeroRenamesAndOthersMerge(t *testing.T) {
	for vendorType, want := range map[string]bool{"kissmetrics": false, "mixpanel": false, "vero": true} {
		if got := Vendors[vendorType].Renames; got != want {
			t.Errorf("%s: got %t", vendorType, got)
		}
	}
}

func TestStableVendorsAreSomeOfAll(t *testing.T) {
	newDestination(t, adapter.Common{}) // adds one that is not stable
	if got := StableTypes(); slices.Contains(got, testType) || !slices.Contains(got, "vero") {
		t.Errorf("got %q of %q", got, Types())
	}
}

func TestRequiredOfAsksTheVendor(t *testing.T) {
	for vendorType, want := range map[string][]string{"vero": {"auth_token"}, "mixpanel": {"token", "id_merge"}, "nobody": nil} {
		if got := RequiredOf(vendorType); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", vendorType, got, want)
		}
	}
}

func TestNewListsTheMistakesOfTheSettings(t *testing.T) {
	_, err := New("vero", "vero", settings(func(any) {}))
	if mistake := (*adapter.SettingError)(nil); !errors.As(err, &mistake) || mistake.Key != "auth_token" {
		t.Errorf("got %v", err)
	}
}

func TestNewRefusesAnUnknownVendor(t *testing.T) {
	_, err := New("mine", "nobody", settings(func(any) {}))
	if want := `unknown vendor "nobody"; known are ` + strings.Join(Types(), ", "); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestFilterAsksTheSourceThenTheCall(t *testing.T) {
	d := newDestination(t, adapter.Common{})
	const plain, off, options = `{"type":"track","event":"e","userId":"u"}`,
		`{"type":"track","event":"e","userId":"u","integrations":{"Kind":false}}`,
		`{"type":"track","event":"e","userId":"u","integrations":{"All":false,"mine":{"a":1}}}`
	for _, c := range []struct {
		allowed []string
		body    string
		want    adapter.Reason
	}{
		{nil, plain, ""},
		{[]string{"other", "mine"}, plain, ""},
		{[]string{"other"}, plain, adapter.FilteredBySource},
		{[]string{"other"}, off, adapter.FilteredBySource},
		{nil, off, adapter.FilteredByIntegrations},
		{nil, options, ""},
	} {
		decision, reason, _ := d.Filter(c.allowed, message(t, c.body))
		if reason != c.want || decision.Enabled != (reason == "") {
			t.Errorf("%q, %s: got %+v, %q", c.allowed, c.body, decision, reason)
		}
	}
	if decision, _, _ := d.Filter(nil, message(t, options)); decision.Options["a"] == nil {
		t.Errorf("the call's options are lost: %+v", decision)
	}
}

func TestTranslateGuardsTheAdapter(t *testing.T) {
	d := newDestination(t, adapter.Common{BlockedIDs: []string{"guest"}})
	for body, want := range map[string]adapter.Reason{
		`{"type":"alias","previousId":"a","userId":"a"}`: adapter.SameIDs,
		`{"type":"track","event":"e","userId":"Guest"}`:  adapter.BlockedID,
		`{"type":"track","event":"e","userId":"jane"}`:   "",
	} {
		call, err := message(t, body).Decode()
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Translate(call); got.Dropped != want || (len(got.Requests) > 0) != (want == "") {
			t.Errorf("%s: got %+v", body, got)
		}
	}
}

func TestTranslateKeepsToTheBounds(t *testing.T) {
	d := newDestination(t, adapter.Common{})
	d.Adapter = &poisoned{}
	call, err := message(t, `{"type":"track","event":"e","userId":"jane"}`).Decode()
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Translate(call); got.Rejected == nil {
		t.Errorf("got %+v", got)
	}
}

// poisoned is an adapter that cannot bear any call.
type poisoned struct{ adapter.Common }

func (*poisoned) Translate(*segment.Call) adapter.Outcome { panic("poison") }

func TestJudgeReadsTheStatusWhereTheVendorSaysNothing(t *testing.T) {
	verdicts := newDestination(t, adapter.Common{}).Judge(make([]adapter.Request, 2), adapter.Answer{Status: 503})
	if len(verdicts) != 2 || verdicts[1].Class != adapter.Later {
		t.Errorf("got %+v", verdicts)
	}
}

// What is merged cannot be parted, so that the memory that protects from it is on.
func TestMergesAreRememberedByDefaultWhereAVendorMerges(t *testing.T) {
	d, err := New("kissmetrics", "kissmetrics", settings(func(into any) { into.(*kissmetrics.Config).APIKey = adapter.NewSecret("k") }))
	if err != nil || !d.RememberMerges {
		t.Errorf("kissmetrics: got %+v, %v", d, err)
	}
	Vendors["mute"] = adapter.Vendor{New: func(adapter.Settings) (adapter.Adapter, error) { return mute{}, nil }}
	defer delete(Vendors, "mute")
	if d, err := New("mute", "mute", nil); err != nil || d.RememberMerges {
		t.Errorf("one that is no Merger: got %+v, %v", d, err)
	}
}

// mute is an adapter that says nothing of merges.
type mute struct{ adapter.Common }

func (mute) Translate(*segment.Call) adapter.Outcome { return adapter.Drop(adapter.NothingToSend) }

// Only a memory can say whether a condition holds. Without one the call is dropped.
func TestAConditionIsLeftToTheMemory(t *testing.T) {
	d, err := New("vero", "vero", settings(func(into any) { into.(*vero.Config).AuthToken = adapter.NewSecret("t") }))
	if err != nil {
		t.Fatal(err)
	}
	call, err := message(t, `{"type":"alias","anonymousId":"a-1","userId":"u-1"}`).Decode()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Merger(); !ok || !d.RememberMerges {
		t.Errorf("got %+v", d)
	}
	if got := d.Translate(call); len(got.Requests) != 1 || got.Condition == nil || got.Condition.UsedID != "a-1" {
		t.Errorf("with a memory: got %+v", got)
	}
	d.RememberMerges = false
	if got := d.Translate(call); len(got.Requests) > 0 || got.Dropped != adapter.PreviousIDIsAnonymous {
		t.Errorf("without a memory: got %+v", got)
	}
}
