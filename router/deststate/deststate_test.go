package deststate

import (
	"slices"
	"strings"
	"testing"
)

func TestAll_EveryStateHasItsOwnNameAndASentence(t *testing.T) {
	names := map[string]bool{}
	for _, s := range All() {
		if names[s.Name()] || s.Name() == "" || !strings.HasSuffix(s.Sentence(), ".") {
			t.Errorf("%s: name %q, sentence %q", s, s.Name(), s.Sentence())
		}
		names[s.Name()] = true
	}
	want := []State{"ok", "probing", "down", "auth_failed", "refusing", "paused", "filling", "removed"}
	if !slices.Equal(All(), want) {
		t.Errorf("the states are %v, want %v", All(), want)
	}
}

func TestName_OfAnUnknownStateIsTheState(t *testing.T) {
	if s := State("newer"); s.Name() != "newer" || s.Sentence() != "" {
		t.Errorf("name %q, sentence %q", s.Name(), s.Sentence())
	}
}
