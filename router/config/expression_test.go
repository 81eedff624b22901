package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// YAML reads a comma or a colon in an expression as its own. The error says what to do.
func TestAnExpressionThatYAMLCannotReadIsToBeQuoted(t *testing.T) {
	for text, hinted := range map[string]bool{
		"a:\n  json: { a: =words(event, {\"x\": 1}) }\n": true,
		"a:\n  data: =x ? y: z\n":                        true,
		"a:\n  data: x: y\n":                             false,
	} {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path, LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), "config.yaml:2: not YAML: ") {
			t.Errorf("%q: got %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "begins with = needs quotes") != hinted {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
