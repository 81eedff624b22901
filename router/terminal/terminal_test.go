package terminal

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

func TestTextThatPrintsStaysAsItIs(t *testing.T) {
	for _, text := range []string{"", "jane doe", "日本 é 🦊", `a "quoted" \ one`} {
		if Plain(text) != text || Escape(text) != text {
			t.Errorf("%q became %s and %s", text, Plain(text), Escape(text))
		}
	}
	if got := Escape("{\n  1\n}"); got != "{\n  1\n}" {
		t.Errorf("lines became %q", got)
	}
}

func TestWhatATerminalWouldActOnIsShown(t *testing.T) {
	for text, want := range map[string][2]string{
		"a\x1b[2J":    {`"a\x1b[2J"`, `a\u001b[2J`},
		"a\u202eb":    {`"a\u202eb"`, `a\u202eb`},
		"a\U000e0001": {`"a\U000e0001"`, `a\udb40\udc01`},
		"a\x9b2J":     {`"a\x9b2J"`, `a\ufffd2J`},
		"a\r":         {`"a\r"`, `a\u000d`},
	} {
		if Plain(text) != want[0] || Escape(text) != want[1] {
			t.Errorf("%q became %s and %s, want %s and %s", text, Plain(text), Escape(text), want[0], want[1])
		}
	}
	if got, want := Plain("a\nb"), `"a\nb"`; got != want {
		t.Errorf("a line break became %s, want %s", got, want)
	}
	if got, want := PlainLines("a\nb\x1b\nc"), "a\n\"b\\x1b\"\nc"; got != want {
		t.Errorf("lines became %s, want %s", got, want)
	}
}

func FuzzText(f *testing.F) {
	f.Add("jane\x1b[2J\n")
	f.Add("\xff\u2028\U000e0001")
	f.Fuzz(func(t *testing.T, text string) {
		if plain := Plain(text); strings.ContainsFunc(plain, unprintable) {
			t.Errorf("%q became %q", text, plain)
		} else if unquoted, err := strconv.Unquote(plain); plain != text && (err != nil || unquoted != text) {
			t.Errorf("%q became %q, which is another text", text, plain)
		}
		encoded, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var want, got string
		if json.Unmarshal(encoded, &want) != nil || json.Unmarshal([]byte(Escape(string(encoded))), &got) != nil || got != want {
			t.Errorf("%s became %s, which is another value", encoded, Escape(string(encoded)))
		}
	})
}
