package spelling

import (
	"strings"
	"testing"
)

var keys = []string{"listen", "sources", "destinations", "delivery", "journal", "max_age", "max_bytes", "max", "rate", "ratio", "tls", "ip",
	"too_old", "too_large", "simplified", "prefix_properties", "vero", "mixpanel"}

func TestTheNearestWordIsTheOneThatWasMeant(t *testing.T) {
	for word, want := range map[string]string{
		"listn": "listen", "lsiten": "listen", "Listen": "listen", "max-age": "max_age", "maxAge": "max_age", "too old": "too_old",
		"destination": "destinations", "delivry": "delivery", "simplify": "simplified", "prefix_property": "prefix_properties",
		"properties": "prefix_properties", "Mixpanel": "mixpanel", "mixpannel": "mixpanel", "rates": "rate", "TLS": "tls",
	} {
		if got := Nearest(word, keys); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}

func TestWhatIsFarIsNotSuggested(t *testing.T) {
	for _, word := range []string{"", "x", "ap", "colour", "amplitude", strings.Repeat("listen", 1000), "käse"} {
		if got := Nearest(word, keys); got != "" {
			t.Errorf("%.20s became %q", word, got)
		}
	}
	if got := Nearest("vero", nil); got != "" {
		t.Errorf("of no words, got %q", got)
	}
}

func TestAHintIsTheEndOfASentence(t *testing.T) {
	if got := Hint("listn", keys); got != "; did you mean listen?" {
		t.Errorf("got %q", got)
	}
	if got := Hint("colour", keys); got != "" {
		t.Errorf("got %q", got)
	}
}
