package records

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
)

// What a destination remembers of its merges lies in numbered blocks of bytes that say nothing to the journal: the newest is
// written again as it grows, the oldest are dropped. A block stands behind the number of its save.

// mergeBlocks are those of all destinations.
type mergeBlocks struct{ t *table }

// Merges calls visit for a destination's blocks, in the order in which they were last saved.
func (s *mergeBlocks) Merges(ctx context.Context, destination string, visit func(block uint64, data []byte)) error {
	type saved struct {
		number, block uint64
		data          []byte
	}
	var blocks []saved
	err := s.t.each(ctx, destination, keyMerges, 0, func(block uint64, value []byte) (bool, error) {
		if len(value) < 8 {
			return false, fmt.Errorf("%w: block %d has %d bytes", codec.ErrDamaged, block, len(value))
		}
		blocks = append(blocks, saved{binary.BigEndian.Uint64(value), block, bytes.Clone(value[8:])})
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("load the merges of %s: %w", destination, err)
	}
	slices.SortFunc(blocks, func(a, b saved) int { return cmp.Compare(a.number, b.number) })
	for _, b := range blocks {
		visit(b.block, b.data)
	}
	return nil
}

// SaveMerges stores a block, in place of what it held, and returns once that is safe on disk.
func (s *mergeBlocks) SaveMerges(ctx context.Context, destination string, block uint64, data []byte) error {
	key := recordKey(keyMerges, block)
	err := s.changeMerges(ctx, destination, key, func(c *change, exists bool) {
		if !exists {
			c.account.merges++
		}
		c.account.lastMerge++
		c.set(key, append(binary.BigEndian.AppendUint64(nil, c.account.lastMerge), data...))
	})
	if err != nil {
		return fmt.Errorf("save the merges of %s: %w", destination, err)
	}
	return nil
}

// DropMerges removes a block for good. One that is gone already is no error.
func (s *mergeBlocks) DropMerges(ctx context.Context, destination string, block uint64) error {
	key := recordKey(keyMerges, block)
	err := s.changeMerges(ctx, destination, key, func(c *change, exists bool) {
		if exists {
			c.account.merges--
			c.remove(key)
		}
	})
	if err != nil {
		return fmt.Errorf("drop merges of %s: %w", destination, err)
	}
	return nil
}

func (s *mergeBlocks) changeMerges(ctx context.Context, destination string, key []byte, build func(c *change, exists bool)) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return s.t.change(ctx, destination, func(_ *book, c *change) error {
		_, err := s.t.get(ctx, destination, key)
		if err != nil && !errors.Is(err, engine.ErrNoRecord) {
			return err
		}
		build(c, err == nil)
		return nil
	})
}
