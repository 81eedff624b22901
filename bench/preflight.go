package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"

	"aka/e2e/harness"
	"aka/router/preflight/preflighttest"
)

// The goals of a preflight of goalCalls calls: seconds, and MiB.
const (
	preflightGoal       = 60
	preflightMemoryGoal = 500
)

// preflightConfig has three vendors.
const preflightConfig = `
sources: { website: { write_key: write-key-of-the-benchmark } }
destinations:
  kissmetrics: { settings: { api_key: k } }
  mixpanel: { settings: { token: t, id_merge: simplified } }
  vero: { settings: { auth_token: v } }
`

// findingsCode is the exit code of a preflight that has findings. The export has shared browsers.
const findingsCode = 3

// preflights measures a preflight of an export in gzip.
func preflights(b *bench) {
	dir := b.TempDir()
	export, config := filepath.Join(dir, "export.ndjson.gz"), filepath.Join(dir, "config.yaml")
	harness.Check(b, os.WriteFile(config, []byte(preflightConfig), 0o600))
	harness.Check(b, writeExport(export, b.calls))
	command := exec.CommandContext(b.Context(), b.binary, "preflight", "--config", config, "--output", "json", export)
	command.Env = append(os.Environ(), "TMPDIR="+dir)
	begin := time.Now()
	out, err := command.Output()
	row := Preflight{Name: "export, 3 vendors", Calls: b.calls, Seconds: time.Since(begin).Seconds(), Report: int64(len(out))}
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != findingsCode {
		b.Errorf("preflight ended with %v, expected findings", err)
		return
	}
	usage := command.ProcessState.SysUsage().(*syscall.Rusage)
	row.CPU = per100k(command.ProcessState.UserTime()+command.ProcessState.SystemTime(), b.calls)
	row.Peak = usage.Maxrss >> 10
	if b.calls <= goalCalls {
		row.Goal, row.PeakGoal = b.goal(preflightGoal), b.goal(preflightMemoryGoal)
	}
	b.report.Preflights = append(b.report.Preflights, row)
}

// writeExport writes an archive, and has the kernel forget it: it is read from the disk.
func writeExport(path string, calls int) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	zip, err := gzip.NewWriterLevel(file, gzip.BestSpeed)
	if err == nil {
		err = preflighttest.Export(zip, calls, 1)
	}
	if err == nil {
		err = zip.Close()
	}
	return errors.Join(err, file.Sync(), forget(file), file.Close())
}
