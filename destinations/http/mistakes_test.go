package http

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"aka/destinations/adapter"
)

var update = flag.Bool("update", false, "write the file of mistakes anew; read what changed before committing it")

// All mistakes are said at once, each with its line and column where the file has it.
func TestEveryMistakeIsSaidWithItsPlace(t *testing.T) {
	_, err := New(&section{file: "testdata/mistakes/settings.yaml"})
	if err == nil {
		t.Fatal("the settings are taken")
	}
	var said strings.Builder
	for _, mistake := range mistakesIn(err) {
		fmt.Fprintf(&said, "%d:%d: %v\n", mistake.Line, mistake.Column, mistake)
	}
	const golden = "testdata/mistakes/said.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(said.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || string(want) != said.String() {
		t.Errorf("%v, got:\n%s\nwant:\n%s", err, said.String(), want)
	}
}

func mistakesIn(err error) (all []*adapter.SettingError) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, inner := range joined.Unwrap() {
			all = append(all, mistakesIn(inner)...)
		}
		return all
	}
	var mistake *adapter.SettingError
	if errors.As(err, &mistake) {
		all = append(all, mistake)
	}
	return all
}
