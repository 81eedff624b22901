package adapter

import (
	"regexp"

	"aka/router/segment"
)

// Environment is what an adapter may know of the program that it runs in. What it points to is filled in before the first Translate,
// and stays as it is. nil is not known, as where settings are read without a program.
type Environment struct {
	// Instance names this aka among all those that a call may pass: the config's `instance`. It is "" before the first start, if the
	// config names none.
	Instance *string
	// Names are the destination's names in a call's `integrations`.
	Names *segment.Names
}

// EnvironmentOf returns the environment that comes with the settings: they have a method Environment where there is one.
func EnvironmentOf(settings Settings) Environment {
	if s, ok := settings.(interface{ Environment() Environment }); ok {
		return s.Environment()
	}
	return Environment{}
}

var instancePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// CheckInstance returns the mistake of a key that names an instance, or nil.
func CheckInstance(key, name string) error {
	if !instancePattern.MatchString(name) {
		return Invalid(key, "1 to 64 of A-Z, a-z, 0-9, ., _ and -")
	}
	return nil
}
