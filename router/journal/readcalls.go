package journal

import (
	"context"

	"aka/router/journal/embedded"
	"aka/router/journal/engine"
)

// ReadCalls calls visit for every call in the log of the journal in dir, in the order in which they were accepted. It changes
// nothing, and a process may have the journal. Frames that cannot be read are passed over. The entries stay good.
func ReadCalls(ctx context.Context, dir string, visit func(*Entry) error) error {
	return embedded.EachFrame(ctx, dir, func(raw engine.Frame) error {
		frame, err := decoded(raw)
		if err != nil {
			return nil // aka passes over it, too
		}
		for i := range frame.Entries {
			if err := visit(&frame.Entries[i]); err != nil {
				return err
			}
		}
		return nil
	})
}
