package router

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"aka/destinations"
	"aka/router/config"
	"aka/router/delivery"
	"aka/router/httpclient"
)

// startDestinations goes on with every destination where the run before stopped, and with what those have left that are not
// configured any more.
func (r *Router) startDestinations(ctx context.Context) error {
	config := r.Config()
	for _, name := range slices.Sorted(maps.Keys(config.Destinations)) {
		p := r.pipeline(config, config.Destinations[name])
		if err := p.Start(ctx); err != nil {
			return err
		}
		r.set(name, p)
	}
	for _, name := range r.journal.Known() {
		if config.Destinations[name] != nil {
			continue
		}
		if err := r.remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// pipeline makes a destination's pipeline.
func (r *Router) pipeline(config *config.Config, d *config.Destination) *delivery.Pipeline {
	p := delivery.New(delivery.Config{
		Destination: d.Destination,
		Options:     d.Delivery,
		Journal:     r.journal,
		Read:        func(from uint64) delivery.Frames { return r.journal.ReadFrom(from) },
		Allowed:     r.allowed,
		Sender:      httpclient.New(d.Delivery.HTTP()),
		MaxBytes:    share(config),
		Logger:      r.log,
		Metrics:     r.deliveries,
		Watch:       r.live,
		Trace:       r.trace,
	})
	p.Pause(r.journal.Paused(d.Name))
	return p
}

// share is what each destination may hold in memory.
func share(config *config.Config) int { return int(config.BufferBytes) / len(config.Destinations) }

// allowed returns the destinations that a source may use; none is all. What a source has sent that is not configured any more
// goes on to where it was meant to go, as far as this process knows.
func (r *Router) allowed(source string) []string {
	current := r.current.Load()
	if s, ok := current.Sources[source]; ok {
		return s.Destinations
	}
	return current.former[source]
}

// set makes a pipeline the one of its destination.
func (r *Router) set(name string, p *delivery.Pipeline) {
	r.mu.Lock()
	r.pipelines[name] = p
	delete(r.kept, name)
	r.mu.Unlock()
	r.pausing.Lock() // it may have been paused since it was made
	defer r.pausing.Unlock()
	p.Pause(r.journal.Paused(name))
}

// remove looks after what a destination has left, whose pipeline has stopped.
func (r *Router) remove(ctx context.Context, name string) error {
	k, err := r.keep(ctx, name)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[name] = k
	delete(r.pipelines, name)
	return nil
}

// all returns the pipelines of the configured destinations, by their names.
func (r *Router) all() map[string]*delivery.Pipeline {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return maps.Clone(r.pipelines)
}

// floor returns the first frame of the log that any destination still needs; 0 where one is about to say so.
func (r *Router) floor() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.adding > 0 {
		return 0
	}
	floor := ^uint64(0)
	for _, p := range r.pipelines {
		floor = min(floor, p.Floor())
	}
	for _, k := range r.kept {
		floor = min(floor, k.Floor())
	}
	return floor
}

// stopDestinations finishes what is in flight as long as ctx lasts.
func (r *Router) stopDestinations(ctx context.Context) {
	var stopping sync.WaitGroup
	for _, p := range r.all() {
		stopping.Go(func() { p.Stop(ctx) })
	}
	for _, k := range r.kept {
		stopping.Go(k.close)
	}
	stopping.Wait()
}

// change is what a reload does to a destination.
type change int

const (
	unchanged change = iota
	added
	replaced
	removed
)

// changeOf compares a destination as it runs with what it is to be; nil is none.
func changeOf(before, after *config.Destination) change {
	switch {
	case after == nil:
		return removed
	case before == nil:
		return added
	case before.Delivery == after.Delivery && areEqual(*before.Destination, *after.Destination):
		return unchanged
	}
	return replaced
}

// areEqual compares what two destinations were built of. Their maskers hold no other secrets than their adapters, and are made
// ready only when they are used; and what they remember comes of calls.
func areEqual(a, b destinations.Destination) bool {
	a.Masker, b.Masker, a.Routes, b.Routes = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}

// changeDestinations makes the destinations run as the config says, each by itself: one whose vendor is slow to answer what is
// in flight keeps no other waiting. It returns what it did, by name; what the end of ctx has kept it from is not in it.
func (r *Router) changeDestinations(ctx context.Context, before, after *config.Config) map[string]change {
	for _, p := range r.all() {
		p.SetMaxBytes(share(after))
	}
	names := unionOfNames(before.Destinations, after.Destinations)
	var mu sync.Mutex
	done := map[string]change{}
	var changing sync.WaitGroup
	if before.Delivery.MaxBacklogAge != after.Delivery.MaxBacklogAge {
		for _, name := range r.keptNames() {
			if !names[name] {
				changing.Go(func() { r.changeDestination(ctx, after, name) })
			}
		}
	}
	for name := range names {
		c := changeOf(before.Destinations[name], after.Destinations[name])
		if c == unchanged {
			continue
		}
		changing.Go(func() {
			if r.changeDestination(ctx, after, name) {
				mu.Lock()
				defer mu.Unlock()
				done[name] = c
			}
		})
	}
	changing.Wait()
	return done
}

// keptNames are the destinations that are not configured any more.
func (r *Router) keptNames() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Keys(r.kept))
}

func unionOfNames(a, b map[string]*config.Destination) map[string]bool {
	names := map[string]bool{}
	for name := range a {
		names[name] = true
	}
	for name := range b {
		names[name] = true
	}
	return names
}

// changeDestination stops what runs under a name, waits until nothing of it is in flight, and goes on as the config says.
// What is written to disk is tried again until it succeeds: meanwhile the destination's calls wait in the journal.
func (r *Router) changeDestination(ctx context.Context, config *config.Config, name string) bool {
	r.mu.RLock()
	p, k := r.pipelines[name], r.kept[name]
	r.mu.RUnlock()
	if p != nil && !p.Finish(ctx) { // each exchange ends within its timeout
		return false // who stops everything waits for it
	}
	if k != nil {
		k.close()
	}
	for ctx.Err() == nil {
		err := r.goOn(ctx, config, name)
		if err == nil {
			return true
		}
		r.log.Error("the destination could not be changed; trying again, its calls wait meanwhile: is the disk full?", zap.String("destination", name), zap.Error(err))
		pause(ctx, time.Second)
	}
	return false
}

func (r *Router) goOn(ctx context.Context, config *config.Config, name string) error {
	d := config.Destinations[name]
	if d == nil {
		return r.remove(ctx, name)
	}
	r.addingChanges(1)
	defer r.addingChanges(-1)
	p := r.pipeline(config, d)
	if err := p.Start(ctx); err != nil {
		return err
	}
	r.set(name, p)
	return nil
}

// addingChanges keeps the log from being purged between the moment that a destination begins and the one that it counts from.
func (r *Router) addingChanges(by int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.adding += by
}
