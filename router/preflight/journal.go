package preflight

import (
	"context"

	"aka/router/journal"
)

// Journal is the calls in a journal's folder, in the order in which aka accepted them. Nothing is written there, and aka may run.
func Journal(dir string) Input {
	return Input{Name: dir, Entries: func(ctx context.Context, visit func(*journal.Entry) error) error {
		return journal.ReadCalls(ctx, dir, visit)
	}}
}
