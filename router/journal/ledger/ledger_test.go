package ledger

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"aka/router/journal/codec"
	"aka/router/journal/frame"
	"aka/router/segment"
)

func someEntry() Entry {
	return Entry{
		Time: time.Unix(1_700_000_000, 5).UTC(), Source: "website", MessageID: "m1", Type: segment.Alias, Verdict: Dropped, Rule: "known_users", By: ByRule,
		Reason: "merge_known_users", Status: 200, FromIDs: 3, ToIDs: 4, IDs: 7, From: Digest{1, 2}, To: Digest{3}, Position: frame.Position{Seq: 9, Index: 8},
	}
}

func TestAnEntryReadsBackAndSeesEveryFlippedBit(t *testing.T) {
	want := someEntry()
	data := Encode(&want)
	if got, err := Decode(data); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if len(data) > 150 {
		t.Errorf("an entry takes %d bytes", len(data))
	}
	for bit := range len(data) * 8 {
		damaged := slices.Clone(data)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, err := Decode(damaged); !errors.Is(err, codec.ErrDamaged) {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
	for cut := range data {
		if _, err := Decode(data[:cut]); !errors.Is(err, codec.ErrDamaged) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

func TestAnEntryOfADryRunReadsBack(t *testing.T) {
	want := someEntry()
	want.Dry = true
	got, err := Decode(Encode(&want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if text, err := json.Marshal(got); err != nil || !strings.Contains(string(text), `"dry":true`) {
		t.Errorf("its JSON is %s, %v", text, err)
	}
}

func TestAnEntryOfANewerVersionIsReadAsFarAsItIsKnown(t *testing.T) {
	want := someEntry()
	body, _ := codec.CutSum(Encode(&want))
	if got, err := Decode(codec.AppendSum(codec.AppendField(body, 99, []byte("new")))); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestLongTextsAreCutBetweenCharacters(t *testing.T) {
	e := someEntry()
	e.MessageID, e.Source, e.Reason, e.Rule = strings.Repeat("é", 1<<20), strings.Repeat("s", 1<<20), strings.Repeat("r", 1<<20), strings.Repeat("u", 1<<20)
	data := Encode(&e)
	got, err := Decode(data)
	if err != nil || len(data) > 1024 || got.MessageID != strings.Repeat("é", MaxMessageID/2) || len(got.Source) != maxText {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if want := Bounded(e); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTheJSONOfAnEntryHasDigestsAndWords(t *testing.T) {
	e := someEntry()
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"from":"01020000000000000000000000000000"`, `"verdict":"dropped"`, `"by":"rule"`, `"status":200`, `"ids":7`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s: no %s", data, want)
		}
	}
	var back Entry
	if err := json.Unmarshal(data, &back); err != nil || back.From != e.From || back.Verdict != e.Verdict || back.By != e.By {
		t.Errorf("%+v, %v", back, err)
	}
	for _, wrong := range []string{`{"verdict":"sold"}`, `{"from":"01"}`, `{"from":"zz020000000000000000000000000000"}`, `{"by":"me"}`} {
		if json.Unmarshal([]byte(wrong), &back) == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}

func TestAFilterMatchesWhatItNames(t *testing.T) {
	e := someEntry()
	for _, c := range []struct {
		filter Filter
		want   bool
	}{
		{Filter{}, true},
		{Filter{Digest: e.From}, true},
		{Filter{Digest: e.To}, true},
		{Filter{Digest: Digest{9}}, false},
		{Filter{Rule: "known_users", Verdict: Dropped, Source: "website"}, true},
		{Filter{Rule: "max_ids"}, false},
		{Filter{Verdict: Held}, false},
		{Filter{Source: "app"}, false},
		{Filter{Since: e.Time}, true},
		{Filter{Since: e.Time.Add(1)}, false},
		{Filter{Until: e.Time}, false},
		{Filter{Until: e.Time.Add(1)}, true},
	} {
		if got := c.filter.Matches(&e); got != c.want {
			t.Errorf("%+v: %t", c.filter, got)
		}
	}
}

func TestAnApprovalCoversItsRuleAndSourceUntilItEnds(t *testing.T) {
	now := time.Unix(1000, 0)
	a := AutoDecision{Rule: "known_users", Source: "website", Until: now.Add(time.Hour)}
	all := AutoDecision{Rule: "known_users", Until: now.Add(time.Hour)}
	for _, c := range []struct {
		decision     AutoDecision
		rule, source string
		at           time.Time
		want         bool
	}{
		{a, "known_users", "website", now, true},
		{a, "known_users", "app", now, false},
		{a, "max_ids", "website", now, false},
		{a, "known_users", "website", a.Until, false},
		{all, "known_users", "app", now, true},
	} {
		if got := c.decision.Covers(c.rule, c.source, c.at); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	e := someEntry()
	body, _ := codec.CutSum(Encode(&e))
	f.Add(body)
	f.Add([]byte{version})
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := Decode(codec.AppendSum(body))
		if err != nil {
			if !errors.Is(err, codec.ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		again, err := Decode(Encode(&got))
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("%+v reads back as %+v, %v", got, again, err)
		}
	})
}
