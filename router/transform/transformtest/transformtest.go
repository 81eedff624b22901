// Package transformtest compiles filters and transforms for tests.
package transformtest

import (
	"os"
	"testing"

	"gopkg.in/yaml.v3"

	"aka/router/strictyaml"
	"aka/router/transform"
)

// Compile compiles the keys filter and transform as a config has them.
func Compile(t testing.TB, text string) *transform.Program {
	t.Helper()
	document := &yaml.Node{}
	if err := yaml.Unmarshal([]byte(text), document); err != nil {
		t.Fatal(err)
	}
	d := &strictyaml.Decoder{Lookup: os.LookupEnv, Source: []byte(text)}
	options := transform.Options{}
	d.Decode(document, "", &options)
	program := options.Compile(d, "")
	for _, problem := range d.Problems() {
		t.Fatal(problem)
	}
	return program
}
