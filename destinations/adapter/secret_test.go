package adapter

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const canary = "c4nary/+ value"

// A format verb must not matter, nor how deep the secret lies.
func TestSecretNeverShowsItself(t *testing.T) {
	type config struct {
		Secret  Secret
		Pointer *Secret
		List    []Secret
		Map     map[string]Secret
		hidden  Secret
	}
	s := NewSecret(canary)
	c := config{s, &s, []Secret{s}, map[string]Secret{"k": s}, s}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%20v", "%-20s", "%w"} {
		for _, value := range []any{s, &s, c, &c} {
			noLeak(t, verb, fmt.Sprintf(verb, value))
		}
	}
	noLeak(t, "error", fmt.Errorf("open %v: %w", s, errors.New("no")).Error())
	noLeak(t, "print", fmt.Sprint(c, s))
	if got := fmt.Sprint(s); got != "<secret>" {
		t.Errorf("got %s", got)
	}
	encoded, err := json.Marshal(map[string]any{"value": c, "key": map[Secret]int{s: 1}})
	if err != nil {
		t.Error(err)
	}
	noLeak(t, "json", string(encoded))
	encoded, err = yaml.Marshal(c)
	if err != nil {
		t.Error(err)
	}
	noLeak(t, "yaml", string(encoded))
}

func TestUnsetSecretShowsNothing(t *testing.T) {
	var s Secret
	if s.IsSet() || s.String() != "" || fmt.Sprint(s) != "" || s.Reveal() != "" {
		t.Errorf("got %q", s)
	}
	s.SetSecret(canary)
	if !s.IsSet() || s.Reveal() != canary || s.String() != masked {
		t.Errorf("got %q", s)
	}
}

func TestMaskerFindsEveryForm(t *testing.T) {
	m := NewMasker([]Secret{NewSecret("user+name"), NewSecret("pass word/1"), NewSecret("pass word")})
	for _, text := range []string{
		"token user+name end",
		"https://x/?token=user%2Bname&a=b",
		"https://x/pass%20word%2F1/a",
		"q=pass+word%2F1",
		"Basic dXNlcituYW1lOg==",             // user+name:
		"Basic dXNlcituYW1lOnBhc3Mgd29yZC8x", // user+name:pass word/1
		`{"error":"pass word/1 is no token"}`,
	} {
		got := m.Mask(text)
		if !strings.Contains(got, masked) {
			t.Errorf("%q stayed as it is", text)
		}
		for _, secret := range []string{"user+name", "user%2Bname", "pass", "dXNlc"} {
			if strings.Contains(got, secret) {
				t.Errorf("%q became %q", text, got)
			}
		}
	}
	if got := m.Mask("nothing here"); got != "nothing here" {
		t.Errorf("got %q", got)
	}
}

func TestMaskerFindsSecretsInJSON(t *testing.T) {
	for _, value := range []string{`a"b\c/d<e>&f`, "söme/<töken>", "tab\tand\u2028", "plain/token"} {
		m := NewMasker([]Secret{NewSecret(value)})
		var asIs bytes.Buffer
		encoder := json.NewEncoder(&asIs)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(value); err != nil {
			t.Fatal(err)
		}
		escaped, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		for _, quoted := range []string{strings.TrimSpace(asIs.String()), string(escaped)} {
			// PHP escapes the slash too.
			for _, form := range []string{quoted, strings.ReplaceAll(quoted, "/", `\/`)} {
				if got := m.Mask(`{"error":` + form + `}`); got != `{"error":"<secret>"}` {
					t.Errorf("%s became %s", form, got)
				}
			}
		}
	}
}

func TestMaskerLeavesShortSecretsAndNilAlone(t *testing.T) {
	if got := NewMasker([]Secret{NewSecret("abc"), {}}).Mask("abc of the alphabet"); got != "abc of the alphabet" {
		t.Errorf("got %q", got)
	}
	var none *Masker
	if got := none.Mask("text"); got != "text" {
		t.Errorf("got %q", got)
	}
}

func noLeak(t *testing.T, how, text string) {
	t.Helper()
	hexadecimal := fmt.Sprintf("%x", canary)
	if strings.Contains(text, "c4nary") || strings.Contains(strings.ToLower(text), hexadecimal) {
		t.Errorf("%s shows the secret: %s", how, text)
	}
}

func TestAShortSecretIsMaskedWhereItStandsAlone(t *testing.T) {
	m := NewMasker([]Secret{NewSecret("k"), NewSecret("")})
	for text, want := range map[string]string{"k": "<secret>", "kiosk": "kiosk", "": ""} {
		if got := m.Mask(text); got != want {
			t.Errorf("Mask(%q) = %q, want %q", text, got, want)
		}
	}
}

// Whose password it is, is no secret: "Basic" credentials hold a name beside it that is not known here.
func TestASecretIsMaskedInsideWhateverIsBase64(t *testing.T) {
	const secret = "s3cret/pa55?"
	m := NewMasker([]Secret{NewSecret(secret)})
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding} {
		for _, before := range []string{"", "u", "us", "use", "user:", "someone:"} {
			for _, after := range []string{"", ":", ":x", ":more"} {
				encoded := encoding.EncodeToString([]byte(before + secret + after))
				got := m.Mask("Basic " + encoded)
				if !strings.Contains(got, masked) || len(strings.Replace(got, masked, "", 1)) > len("Basic ")+len(encoded)-12 {
					t.Errorf("%q and %q around it: %s became %s", before, after, encoded, got)
				}
			}
		}
	}
	if got := NewMasker([]Secret{NewSecret("abcd")}).Mask("YWJj is short, and so is abcd"); got != "YWJj is short, and so is <secret>" {
		t.Errorf("got %s", got)
	}
}
