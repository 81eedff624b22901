package router

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"aka/router/config"
	"aka/router/journal"
	"aka/router/strictyaml"
)

// checkTypes refuses a config with another type for a destination than the one for which calls wait, unless the config says
// that it knows: no call goes to another vendor unasked. The error is *config.Mistakes where the config is refused.
func (f *fleet) checkTypes(ctx context.Context, next *config.Config) error {
	var problems []strictyaml.Problem
	running := next.Running()
	for _, name := range slices.Sorted(maps.Keys(running)) {
		d, was := running[name], f.journal.TypeOf(name)
		if was == "" || was == d.Type || was == d.WasType {
			continue
		}
		calls, err := f.waitingFor(ctx, name)
		if err != nil {
			return err
		}
		if calls > 0 {
			problems = append(problems, typeProblem(name, was, d.Type, calls))
		}
	}
	if len(problems) > 0 {
		return next.Refuse(problems...)
	}
	return nil
}

func typeProblem(name, was, now string, calls uint64) strictyaml.Problem {
	waiting := "1 call waits"
	if calls != 1 {
		waiting = fmt.Sprintf("%d calls wait", calls)
	}
	return strictyaml.Problem{Key: "destinations." + name + ".type", Message: fmt.Sprintf(
		"the type was %[2]s, and %[4]s: add was_type: %[2]s to send what waits to %[3]s, or take %[1]s out of the config and run "+
			"aka destination forget %[1]s to drop it", name, was, now, waiting)}
}

// waitingFor returns how many calls wait for a destination, whether it runs, is not configured any more, or is yet to start.
func (f *fleet) waitingFor(ctx context.Context, name string) (calls uint64, err error) {
	f.mu.RLock()
	p, o := f.pipelines[name], f.orphans[name]
	f.mu.RUnlock()
	switch {
	case p != nil:
		calls = p.Backlog()
	case o != nil:
		calls = o.waiting.Load()
	default:
		return f.journal.Waiting(ctx, name, func(e *journal.Entry) bool {
			allowed := f.allowed(e.Source)
			return len(allowed) == 0 || slices.Contains(allowed, name)
		})
	}
	blocking, err := f.parkedCalls(ctx, name, func(p *journal.Parked) bool { return p.Dead != "" })
	return calls + blocking, err
}

// typesOf returns the type of a configured destination, and the one that it had before by the config.
func (r *Router) typesOf(destination string) (now, was string) {
	if d := r.Config().Running()[destination]; d != nil {
		return d.Type, d.WasType
	}
	return "", ""
}
