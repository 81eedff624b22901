package config

import (
	"bytes"
	"testing"

	"aka/router/admin"
	"aka/router/config/configtest"
)

func TestTheAdminSectionOfAFileThatSaysNothingOfItIsTheDefault(t *testing.T) {
	for _, text := range []string{configtest.Minimal, configtest.Minimal + "admin:\n", "journal: { dir: ./data\n", "# admin: { listen: :1 }\njournal: {\n"} {
		section, err := ReadAdmin(configtest.Write(t, text), configtest.Lookup)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		listen, err := section.Listen()
		tokens, tokenErr := section.Tokens()
		if listen != "127.0.0.1:9090" || tokens != (admin.Tokens{}) || err != nil || tokenErr != nil {
			t.Errorf("%q: got %q, %+v, %v, %v", text, listen, tokens, err, tokenErr)
		}
	}
}

// No other key may be taken for a mistyped admin.
func TestNoKeyOfTheConfigIsLikeAdmin(t *testing.T) {
	for name := range decodeAny(t, Default().Effective()).(map[string]any) {
		if isLikeAdmin(name) != (name == "admin") {
			t.Errorf("%s", name)
		}
	}
}

func FuzzParseAdmin(f *testing.F) {
	f.Add([]byte("journal: {\nadmin: { listen: a }\n"))
	f.Add([]byte("\ufeff\"admin\" :\r\n  listen: a\r\n]\nx"))
	f.Add([]byte("admni: &a [*a]\n---\nadmin: <<\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		cut, _ := cutOutAdmin(content)
		if bytes.Count(cut, []byte("\n")) != bytes.Count(content, []byte("\n")) {
			t.Errorf("the lines have other numbers in %q", cut)
		}
		section, err := parseAdmin("config.yaml", content, configtest.Lookup)
		if err != nil {
			return
		}
		if listen, err := section.Listen(); listen == "" && err == nil {
			t.Error("neither an address nor a mistake")
		}
		_, _ = section.Tokens()
	})
}
