package journal

import (
	"time"

	"aka/router/strictyaml"
)

// Options are the `journal` section of the config, and its `dead_letters` section. Start from DefaultOptions.
type Options struct {
	// Dir is the folder that holds the journal. It is made when it is missing, and belongs to one process at a time.
	// Default ./data.
	Dir string `yaml:"dir"`
	// MaxBytes bounds the accepted calls on disk. A full journal refuses calls with 503 until a destination catches up.
	// At least 8MiB. Default 10GiB.
	MaxBytes strictyaml.Size `yaml:"max_bytes"`
	// Dedupe is how long a call that is sent again with the same messageId is recognized, restarts included. 0 is off, at
	// most 24h. It takes about 17 MB of memory for every million calls of a window, and of up to two windows; past 4 million
	// calls a window gets shorter. Default 10m.
	Dedupe time.Duration `yaml:"dedupe"`
	// DeadLetters bound what is kept of the calls that were given up on. They stand in a section of their own.
	DeadLetters DeadLetterOptions `yaml:"-"`
}

// DeadLetterOptions are the `dead_letters` section of the config. Start from DefaultOptions' own.
type DeadLetterOptions struct {
	// MaxAge is how long a dead letter is kept. 0 is for ever, else at least 1m. Default 30d.
	MaxAge time.Duration `yaml:"max_age"`
	// MaxBytes bounds the dead letters on disk, all destinations together. Beyond it the oldest go, of the destination that
	// has the most. At least 1MiB. Default 1GiB.
	MaxBytes strictyaml.Size `yaml:"max_bytes"`
	// ReplayRate is how many are replayed per second at most, so that calls that are new are not kept waiting. 0 is
	// unlimited, else at least 0.1. Default 100.
	ReplayRate float64 `yaml:"replay_rate"`
}

// DefaultOptions are those of a config that says nothing.
var DefaultOptions = Options{
	Dir:         "./data",
	MaxBytes:    10 * strictyaml.GiB,
	Dedupe:      10 * time.Minute,
	DeadLetters: DeadLetterOptions{MaxAge: 30 * 24 * time.Hour, MaxBytes: strictyaml.GiB, ReplayRate: 100},
}

// Check reports every value that is out of its range, by its key below the section.
func (o *Options) Check(report func(key, format string, args ...any)) {
	if o.Dir == "" {
		report("dir", "expected a folder")
	}
	if o.MaxBytes < 8*strictyaml.MiB {
		report("max_bytes", "expected at least 8MiB, not %s", o.MaxBytes)
	}
	if o.Dedupe > 24*time.Hour {
		report("dedupe", "expected at most 24h, not %s", strictyaml.FormatDuration(o.Dedupe))
	}
}

// Check reports every value that is out of its range, by its key below the section.
func (o *DeadLetterOptions) Check(report func(key, format string, args ...any)) {
	if o.MaxBytes < strictyaml.MiB {
		report("max_bytes", "expected at least 1MiB, not %s", o.MaxBytes)
	}
	if o.MaxAge != 0 && o.MaxAge < time.Minute {
		report("max_age", "expected 0 for ever, or at least 1m, not %s", strictyaml.FormatDuration(o.MaxAge))
	}
	if o.ReplayRate != 0 && !(o.ReplayRate >= 0.1) {
		report("replay_rate", "expected 0 for unlimited, or at least 0.1 dead letters per second, not %v", o.ReplayRate)
	}
}
