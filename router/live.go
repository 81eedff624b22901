package router

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"aka/router/admin"
	"aka/router/delivery"
	"aka/router/explain"
	"aka/router/journal"
	"aka/router/live"
	"aka/router/merges"
)

// recorder returns what remembers calls while somebody looks.
func (r *Router) recorder() *live.Recorder {
	return live.New(live.Config{
		Read: func(from uint64) live.Frames { return r.journal.ReadFrom(from) },
		Head: r.journal.Head,
		OnStart: func(ctx context.Context) {
			if r.started.Load() {
				r.fleet.snapshot(ctx)
			}
		},
	})
}

// snapshot has every destination tell where the calls stand that it holds.
func (f *fleet) snapshot(ctx context.Context) {
	for _, p := range f.all() {
		if err := p.Snapshot(ctx); err != nil {
			f.log.Debug("a destination has not told what it holds", zap.Error(err))
		}
	}
}

// statusTimeout is how long is waited for a destination to say how it does: its loop is never busy for long.
const statusTimeout = 2 * time.Second

// status returns how each destination does, by name, and behind them those that were removed. One that does not say so in time,
// as while it stops, is left out.
func (f *fleet) status(ctx context.Context) []delivery.Status {
	all := []delivery.Status{}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	pipelines := f.all()
	names := slices.Sorted(maps.Keys(pipelines))
	said := make([]*delivery.Status, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() {
			if s, err := pipelines[name].Status(ctx); err == nil {
				said[i] = &s
			}
		})
	}
	asking.Wait()
	for _, s := range said {
		if s != nil {
			all = append(all, *s)
		}
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(f.orphans)) {
		all = append(all, f.orphans[name].status())
	}
	return all
}

// explainEntry says what each destination that a call of the journal is for would be sent for it.
func (r *Router) explainEntry(e *journal.Entry) any {
	explained := explain.Message(r.Config(), &e.Message, e.Source, false)
	return slices.DeleteFunc(explained, func(d explain.Destination) bool { return e.Target != "" && d.Name != e.Target })
}

// mergesOf returns what each destination remembers of the merges of an id.
func (f *fleet) mergesOf(ctx context.Context, id string, named []string) []admin.MergesAt {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	all := []admin.MergesAt{}
	pipelines := f.all()
	for _, name := range slices.Sorted(maps.Keys(pipelines)) {
		found, remembers, more, err := pipelines[name].MergesOf(ctx, id, named)
		if err != nil {
			continue
		}
		if found == nil {
			found = []merges.Remembered{}
		}
		all = append(all, admin.MergesAt{Destination: name, Remembers: remembers, Merges: found, More: more})
	}
	return all
}
