package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"aka/e2e/harness"
)

// binary is aka as built for these tests.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "aka-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=0") // or each aka takes a second to end
	}
	binary = filepath.Join(dir, "aka")
	var flags []string
	if isRaceBuild() {
		flags = append(flags, "-race")
	}
	if err := harness.Build(binary, flags...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// isRaceBuild reports whether the tests themselves run with -race.
func isRaceBuild() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, setting := range info.Settings {
		if setting.Key == "-race" {
			return setting.Value == "true"
		}
	}
	return false
}
