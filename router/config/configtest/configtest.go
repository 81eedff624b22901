// Package configtest is what tests that read a config share.
package configtest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"aka/destinations"
)

// Minimal is a config with one source and one destination of each vendor, a line each. Their settings are the shortest that a
// golden case of the vendor has.
var Minimal = minimal()

func minimal() string {
	text := "\nsources: { website: { write_key: dev } }\ndestinations:\n"
	for _, vendorType := range destinations.Types() {
		settings, err := shortestSettings(vendorType)
		if err != nil {
			panic("configtest: " + err.Error())
		}
		text += fmt.Sprintf("  %s: { settings: %s }\n", vendorType, settings)
	}
	return text
}

// shortestSettings reads the cases of a vendor, which must be in its folder. Where one is called minimal, it is that.
func shortestSettings(vendorType string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cases := filepath.Join("destinations", vendorType, "testdata", "*.yaml")
	files, err := filepath.Glob(filepath.Join(root, cases))
	if err != nil {
		return "", err
	}
	shortest := ""
	for _, file := range files {
		settings, err := settingsOf(file)
		if err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
		if settings != "" && filepath.Base(file) == "minimal.yaml" {
			return settings, nil
		}
		if settings != "" && (shortest == "" || len(settings) < len(shortest)) {
			shortest = settings
		}
	}
	if shortest == "" {
		return "", fmt.Errorf("no case in %s has settings that the vendor takes", cases)
	}
	return shortest, nil
}

// moduleRoot is the first folder above the test's own that has a go.mod.
func moduleRoot() (string, error) {
	folder, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(folder, "go.mod")); missing == nil {
			return folder, nil
		}
		if filepath.Dir(folder) == folder {
			return "", errors.New("no go.mod above the test's folder")
		}
		folder = filepath.Dir(folder)
	}
	return "", err
}

// settingsOf returns the settings of a golden case on one line, or "" where the case expects that they are refused.
func settingsOf(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var golden struct {
		Settings      yaml.Node
		SettingsError string `yaml:"settings_error"`
	}
	if err := yaml.Unmarshal(text, &golden); err != nil || golden.SettingsError != "" || golden.Settings.IsZero() {
		return "", err
	}
	golden.Settings.Style = yaml.FlowStyle
	line, err := yaml.Marshal(&golden.Settings)
	return strings.TrimSpace(string(line)), err
}

// environment is what the configs of tests may ask for.
var environment = map[string]string{
	"WRITE_KEY": "s3cret-write-key",
	"EMPTY":     "",
	"ENDPOINT":  "not a url",
	"NEWLINE":   "s3cret-newline\n",
	"SPACES":    " s3cret-spaces ",
}

// Lookup reads a variable of an environment that is the same for all tests.
func Lookup(name string) (string, bool) {
	value, ok := environment[name]
	return value, ok
}

// Write makes a config file of the text, and returns its path.
func Write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var update = flag.Bool("update", false, "write the golden files anew; read what changed before committing it")

// CompareGolden fails the test where the file does not hold the text. With -update it writes the file first.
func CompareGolden(t testing.TB, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n got %s\nwant %s", path, got, want)
	}
}
