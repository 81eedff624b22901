package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"aka/router/admin"
	"aka/router/delivery"
	"aka/router/journal"
	"aka/router/quarantine"
)

// heldAliases are the aliases that merge rules hold, of all destinations, with the automatic decisions.
type heldAliases struct{ router *Router }

// of returns the pipelines that a filter asks, by their names.
func (h heldAliases) of(destination string) map[string]*delivery.Pipeline {
	all := h.router.fleet.all()
	if destination == "" {
		return all
	}
	maps.DeleteFunc(all, func(name string, _ *delivery.Pipeline) bool { return name != destination })
	return all
}

// Held implements admin.HeldAliases.
func (h heldAliases) Held(ctx context.Context, filter quarantine.Filter, limit int) (held []quarantine.Held, more bool, err error) {
	if err := h.running(); err != nil {
		return nil, false, err
	}
	for _, p := range h.of(filter.Destination) {
		some, others, err := p.Held(ctx, filter, limit)
		if err != nil {
			return nil, false, notNow(err)
		}
		held, more = append(held, some...), more || others
	}
	slices.SortFunc(held, func(a, b quarantine.Held) int { return cmp.Or(a.HeldAt.Compare(b.HeldAt), cmp.Compare(a.ID, b.ID)) })
	if len(held) > limit {
		held, more = held[:limit], true
	}
	return held, more, nil
}

// HeldSummary implements admin.HeldAliases.
func (h heldAliases) HeldSummary(ctx context.Context) (counts []quarantine.Count, err error) {
	if err := h.running(); err != nil {
		return nil, err
	}
	all := h.of("")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		some, err := all[name].HeldSummary(ctx)
		if err != nil {
			return nil, notNow(err)
		}
		counts = append(counts, some...)
	}
	return counts, nil
}

// ApproveHeld implements admin.HeldAliases.
func (h heldAliases) ApproveHeld(ctx context.Context, filter quarantine.Filter) (quarantine.Decided, error) {
	return h.decide(filter, func(p *delivery.Pipeline, limit int) (quarantine.Decided, error) {
		return p.ApproveHeld(ctx, filter, limit)
	})
}

// RefuseHeld implements admin.HeldAliases.
func (h heldAliases) RefuseHeld(ctx context.Context, filter quarantine.Filter) (quarantine.Decided, error) {
	return h.decide(filter, func(p *delivery.Pipeline, limit int) (quarantine.Decided, error) {
		return p.RefuseHeld(ctx, filter, limit)
	})
}

func (h heldAliases) decide(filter quarantine.Filter, do func(p *delivery.Pipeline, limit int) (quarantine.Decided, error)) (all quarantine.Decided, err error) {
	if err := h.running(); err != nil {
		return all, err
	}
	for _, p := range h.of(filter.Destination) { // one that cannot now keeps no other from it
		some, failure := do(p, quarantine.MaxDecided-all.Count)
		all.Count, all.Left = all.Count+some.Count, all.Left+some.Left
		if failure != nil {
			err = errors.Join(err, notNow(failure))
		}
	}
	return all, err
}

// ImportMerges implements admin.HeldAliases.
func (h heldAliases) ImportMerges(ctx context.Context, destination string, next func() (from, to string, ok bool, err error)) (n int, err error) {
	if err := h.running(); err != nil {
		return 0, err
	}
	p := h.router.fleet.all()[destination]
	if p == nil {
		return 0, fmt.Errorf("%w: %s", admin.ErrNoDestination, destination)
	}
	n, err = p.ImportMerges(ctx, next)
	if errors.Is(err, delivery.ErrNoMemory) || errors.Is(err, delivery.ErrStopped) {
		err = notNow(err)
	}
	return n, err
}

// notNow marks an error of a destination that is stopping, or cannot do this.
func notNow(err error) error { return fmt.Errorf("%w: %w", admin.ErrNotNow, err) }

func (h heldAliases) running() error {
	if !h.router.started.Load() {
		return errNotRunning
	}
	return nil
}

// AddAutoDecision implements admin.HeldAliases.
func (h heldAliases) AddAutoDecision(ctx context.Context, a journal.AutoDecision) (added []journal.AutoDecision, err error) {
	if err := h.running(); err != nil {
		return nil, err
	}
	names := []string{a.Destination}
	if a.Destination == "" {
		names = slices.Sorted(maps.Keys(h.router.Config().Running()))
	}
	for _, name := range names {
		a.Destination = name
		one, err := h.router.journal.AddAutoDecision(ctx, a, time.Now())
		if err != nil {
			return added, err
		}
		added = append(added, one)
		if err := h.reload(ctx, name); err != nil {
			return added, err
		}
	}
	return added, nil
}

// reload has a destination that runs take up its decisions.
func (h heldAliases) reload(ctx context.Context, destination string) error {
	p := h.router.fleet.all()[destination]
	if p == nil {
		return nil
	}
	if err := p.ReloadAutoDecisions(ctx); err != nil {
		return notNow(err)
	}
	return nil
}

// AutoDecisions implements admin.HeldAliases.
func (h heldAliases) AutoDecisions(ctx context.Context) (all []journal.AutoDecision, err error) {
	if err := h.running(); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(h.router.Config().Running())) {
		list, err := h.router.journal.AutoDecisions(ctx, name, time.Now())
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// RemoveAutoDecision implements admin.HeldAliases.
func (h heldAliases) RemoveAutoDecision(ctx context.Context, destination string, number uint64) error {
	if err := h.running(); err != nil {
		return err
	}
	if err := h.router.journal.RemoveAutoDecision(ctx, destination, number); err != nil {
		return err
	}
	return h.reload(ctx, destination)
}
