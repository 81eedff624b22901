package journal

import (
	"fmt"
	"slices"
	"time"

	"aka/destinations/adapter"
	"aka/router/spelling"
	"aka/router/strictyaml"
)

// Options are the `journal` section of the config, and its `dead_letters` section. Start from DefaultOptions.
type Options struct {
	// Dir is the folder of the journal. aka makes it if it is missing. It belongs to one process at a time. Default ./data.
	Dir string `yaml:"dir"`
	// MaxBytes bounds the accepted calls on disk. A full journal refuses calls with 503 until a destination catches up.
	// At least 8MiB. Default 10GiB.
	MaxBytes strictyaml.Size `yaml:"max_bytes"`
	// Dedupe is how long aka recognizes a call that is sent again with the same messageId, also over a restart. 0 is off, at
	// most 24h. Each million calls of a window takes about 17 MB of memory, and aka keeps up to two windows. Past 4 million
	// calls a window gets shorter. Default 10m.
	Dedupe time.Duration `yaml:"dedupe"`
	// DeadLetters bound what is kept of the calls that were given up on. They stand in a section of their own.
	DeadLetters DeadLetterOptions `yaml:"-"`
	// Dropped bound what is kept of the calls that were dropped. They stand in a section of their own, too.
	Dropped DroppedOptions `yaml:"-"`
}

// DeadLetterOptions are the `dead_letters` section of the config. Start from DefaultOptions' own.
type DeadLetterOptions struct {
	// MaxAge is how long aka stores a dead letter. 0 is no limit, else at least 1m. Default 30d.
	MaxAge time.Duration `yaml:"max_age"`
	// MaxBytes bounds the dead letters on disk, all destinations together. Beyond it the oldest go, of the destination that
	// has the most. At least 1MiB. Default 1GiB.
	MaxBytes strictyaml.Size `yaml:"max_bytes"`
	// ReplayRate is how many dead letters aka replays per second at most, so that new calls do not wait for them. 0 is
	// unlimited, else at least 0.1. Default 100.
	ReplayRate float64 `yaml:"replay_rate"`
}

// DroppedOptions are the `dropped` section of the config. Start from DefaultOptions' own.
type DroppedOptions struct {
	// MaxAge is how long aka stores a dropped call. 0 is no limit, else at least 1m. Default 7d.
	MaxAge time.Duration `yaml:"max_age"`
	// MaxBytes bounds the kept dropped calls on disk, all destinations together. Beyond it the oldest go, of the destination
	// that has the most. At least 1MiB. Default 256MiB.
	MaxBytes strictyaml.Size `yaml:"max_bytes"`
	// Reasons are the reasons of the drops that aka keeps. An empty list keeps none. Default: those that a setting may have
	// caused, which are blocked_id and all that begin with alias_ or merge_.
	Reasons []string `yaml:"reasons"`
}

// DefaultOptions are those of a config that says nothing.
var DefaultOptions = Options{
	Dir:         "./data",
	MaxBytes:    10 * strictyaml.GiB,
	Dedupe:      10 * time.Minute,
	DeadLetters: DeadLetterOptions{MaxAge: 30 * 24 * time.Hour, MaxBytes: strictyaml.GiB, ReplayRate: 100},
	Dropped:     DroppedOptions{MaxAge: 7 * 24 * time.Hour, MaxBytes: 256 * strictyaml.MiB, Reasons: adapter.Words(adapter.KeptDrops())},
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
		report("max_age", "expected 0 for no limit, or at least 1m, not %s", strictyaml.FormatDuration(o.MaxAge))
	}
	if o.ReplayRate != 0 && !(o.ReplayRate >= 0.1) {
		report("replay_rate", "expected 0 for unlimited, or at least 0.1 dead letters per second, not %v", o.ReplayRate)
	}
}

// Check reports every value that is out of its range, by its key below the section.
func (o *DroppedOptions) Check(report func(key, format string, args ...any)) {
	if o.MaxBytes < strictyaml.MiB {
		report("max_bytes", "expected at least 1MiB, not %s", o.MaxBytes)
	}
	if o.MaxAge != 0 && o.MaxAge < time.Minute {
		report("max_age", "expected 0 for no limit, or at least 1m, not %s", strictyaml.FormatDuration(o.MaxAge))
	}
	for i, reason := range o.Reasons {
		if words := adapter.Words(adapter.DropReasons); !slices.Contains(words, reason) {
			report(fmt.Sprintf("reasons[%d]", i), "expected the reasons of drops, such as blocked_id, not %q%s", reason, spelling.Hint(reason, words))
		}
	}
}
