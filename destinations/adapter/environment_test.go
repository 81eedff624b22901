package adapter

import (
	"strings"
	"testing"

	"aka/router/segment"
)

type plainSettings struct{}

func (plainSettings) Decode(any) error { return nil }

type settingsOfAProgram struct {
	plainSettings
	environment Environment
}

func (s settingsOfAProgram) Environment() Environment { return s.environment }

func TestTheEnvironmentComesWithTheSettings(t *testing.T) {
	if e := EnvironmentOf(plainSettings{}); e != (Environment{}) {
		t.Errorf("got %+v", e)
	}
	name := "aka-1"
	want := Environment{Instance: &name, Names: &segment.Names{Lenient: true}}
	if e := EnvironmentOf(settingsOfAProgram{environment: want}); e != want {
		t.Errorf("got %+v", e)
	}
}

func TestTheNameOfAnInstanceIsAWord(t *testing.T) {
	for name, ok := range map[string]bool{
		"aka-1": true, "7f0cc7a7-1c2d-4e3f-8a9b-0c1d2e3f4a5b": true, strings.Repeat("a", 64): true,
		"": false, "a b": false, "a\n": false, "ü": false, strings.Repeat("a", 65): false,
	} {
		if err := CheckInstance("instance", name); (err == nil) != ok {
			t.Errorf("%q: got %v", name, err)
		}
	}
}
