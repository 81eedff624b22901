package adapter

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func urlOf(t *testing.T, text string) (u URL) {
	t.Helper()
	if err := u.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestTheUserOfAURLIsNeverPrinted(t *testing.T) {
	u := urlOf(t, "https://jen:p%40ssw0rd@hooks.example/aka")
	if u.Address() != "https://hooks.example/aka" || u.Authorization() != "Basic amVuOnBAc3N3MHJk" {
		t.Errorf("got %s and %s", u.Address(), u.Authorization())
	}
	marshalled, err := json.Marshal(map[string]any{"url": u})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%s %v %+v %#v %q %d", u, u, u, u, u, u), fmt.Sprintf("%+v %#v", struct{ U URL }{u}, []URL{u}), string(marshalled)} {
		if strings.Contains(text, "ssw0rd") || strings.Contains(text, "jen") || !strings.Contains(text, "https://***@hooks.example/aka") {
			t.Errorf("printed as %s", text)
		}
	}
	shown, err := u.MarshalText()
	if err != nil || urlOf(t, string(shown)).Address() != u.Address() {
		t.Errorf("%s is not read back: %v", shown, err)
	}
	masked := NewMasker([]Secret{NewSecret(u.Secrets()[0]), NewSecret(u.Secrets()[1])})
	if said := masked.Mask("wrong password p@ssw0rd in " + u.Authorization()); said != "wrong password <secret> in Basic <secret>" {
		t.Errorf("masked as %s", said)
	}
}

func TestATokenInTheQueryIsNeverPrinted(t *testing.T) {
	u := urlOf(t, "https://hooks.example/aka?code=f0nction-k3y&v=1")
	if u.Address() != "https://hooks.example/aka?code=f0nction-k3y&v=1" || !slices.Equal(u.Secrets(), []string{"f0nction-k3y"}) {
		t.Errorf("got %s, %q", u.Address(), u.Secrets())
	}
	if text := u.String(); text != "https://hooks.example/aka?***" {
		t.Errorf("printed as %s", text)
	}
}

func TestATokenInTheURLIsItsUser(t *testing.T) {
	u := urlOf(t, "https://t0ken@hooks.example")
	if u.Authorization() != "Basic dDBrZW46" || u.Secrets()[0] != "t0ken" {
		t.Errorf("got %s, %q", u.Authorization(), u.Secrets())
	}
	if none := urlOf(t, "https://hooks.example"); none.Authorization() != "" || none.Secrets() != nil || none.String() != "https://hooks.example" {
		t.Errorf("got %s, %q", none.Authorization(), none.Secrets())
	}
}

func TestWhatIsNoURLIsRefusedAndNotShown(t *testing.T) {
	for _, text := range []string{"hooks.example/s3cret", "ftp://u:s3cret@hooks.example", "https://", "https://u:s3cret@", "https://hooks.example/#s3cret", "http://[::1/s3cret", "https://hooks.example/\x7fs3cret"} {
		var u URL
		if err := u.UnmarshalText([]byte(text)); err == nil || strings.Contains(err.Error(), "s3cret") || u.IsSet() {
			t.Errorf("%s: %v", text, err)
		}
	}
}
