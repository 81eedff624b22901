package router

import (
	"maps"
	"reflect"
	"slices"

	"go.uber.org/zap"

	"aka/router/config"
	"aka/router/logging"
)

// Reloaded is what a reload has changed.
type Reloaded struct {
	// Added, Replaced and Removed are destinations by name. One that was replaced has another setting: it went on where it had
	// stopped, once nothing of it was in flight. One that was removed keeps what it had waiting.
	Added    []string `json:"added"`
	Replaced []string `json:"replaced"`
	Removed  []string `json:"removed"`
	// NeedsRestart are the keys that have another value in the file, which counts only after a restart.
	NeedsRestart []string `json:"needs_restart"`
}

// Reload reads the config file again, and applies it: destinations, sources, rates, secrets and their files. No connection
// is dropped and no order is lost. A file that does not load, whose error is *Mistakes, changes nothing. It returns once
// everything uses the new one. Several reloads go one after the other.
func (r *Router) Reload() (*Reloaded, error) {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	if !r.started.Load() {
		return nil, errNotRunning
	}
	before := r.Config()
	next, err := before.Reload()
	if err != nil {
		return nil, r.notReloaded(err)
	}
	r.fleet.changing.Lock()
	defer r.fleet.changing.Unlock()
	if !r.started.Load() {
		return nil, errNotRunning
	}
	if err = r.nameInstance(next); err == nil {
		err = r.fleet.checkTypes(r.running, next)
	}
	var done *Reloaded
	if err == nil {
		done, err = r.apply(before, next)
	}
	if err != nil {
		return nil, r.notReloaded(err)
	}
	r.log.Info("config reloaded", zap.Strings("added", done.Added), zap.Strings("replaced", done.Replaced), zap.Strings("removed", done.Removed))
	if len(done.NeedsRestart) > 0 {
		r.log.Warn("some config changes need a restart", zap.String("hint", "restart aka"), zap.Strings("keys", done.NeedsRestart))
	}
	return done, nil
}

func (r *Router) notReloaded(err error) error {
	r.log.Error("config was not reloaded, the old one stays", zap.String("hint", "correct it and reload again"), zap.Error(err))
	return err
}

// apply goes on with another config. Sources come last: what they may send to is there then.
func (r *Router) apply(before, next *config.Config) (*Reloaded, error) {
	letIn, err := r.ingress.Prepare(next.Config)
	if err != nil {
		return nil, err
	}
	r.current.Store(&current{Config: next, former: formerSources(r.current.Load(), next)})
	changes := r.fleet.change(r.running, before, next)
	letIn()
	if log := logging.Of(r.log); log != nil && before.Log.Level != next.Log.Level {
		_ = log.SetLevel(next.Log.Level, 0)
	}
	if r.onReload != nil {
		r.onReload(before, next)
	}
	named := func(c change) []string {
		names := []string{}
		for name, done := range changes {
			if done == c {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	return &Reloaded{Added: named(added), Replaced: named(replaced), Removed: named(removed), NeedsRestart: needsRestart(r.atStart, next)}, nil
}

// formerSources are those that were configured before and are not any more, with the destinations that they were meant for.
func formerSources(before *current, next *config.Config) map[string][]string {
	former := maps.Clone(before.former)
	for name, s := range before.Sources {
		if _, ok := next.Sources[name]; !ok && len(s.Destinations) > 0 {
			if former == nil {
				former = map[string][]string{}
			}
			former[name] = s.Destinations
		}
	}
	return former
}

// needsRestart returns the keys, sorted, whose new values a running process cannot apply.
func needsRestart(running, next *config.Config) []string {
	keys := []string{}
	for key, values := range map[string][2]any{
		"admin":           {running.Admin, next.Admin},
		"dead_letters":    {running.DeadLetters, next.DeadLetters},
		"dropped":         {running.Dropped, next.Dropped},
		"journal":         {running.Journal, next.Journal},
		"limits":          {running.Limits, next.Limits},
		"listen":          {running.Listen, next.Listen},
		"log.format":      {running.Log.Format, next.Log.Format},
		"otel":            {running.Otel, next.Otel},
		"static_dir":      {running.StaticDir, next.StaticDir},
		"tls":             {running.TLS, next.TLS},
		"merges.key_file": {running.Merges.KeyFile, next.Merges.KeyFile},
	} {
		if !reflect.DeepEqual(values[0], values[1]) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
