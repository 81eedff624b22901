package journal

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// What a destination remembers of its merges lies in a key-value bucket, in numbered blocks of bytes that say nothing to the
// journal: the newest is written again as it grows, the oldest are dropped.

// mergesStream is where the engine keeps the bucket. The subjects end in the destination's name and the block's number.
const (
	mergesStream = "KV_" + mergesKV
	mergesTopic  = "$KV." + mergesKV + "."
)

// Merges calls visit for a destination's blocks, in the order in which they were last saved.
func (j *Journal) Merges(ctx context.Context, destination string, visit func(block uint64, data []byte)) error {
	from := uint64(1)
	for {
		stored, err := j.store().merged.GetMsg(ctx, from, jetstream.WithGetMsgSubject(mergesTopic+destination+".*"))
		if isGone(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("load the merges of %s: %w", destination, err)
		}
		block, err := strconv.ParseUint(stored.Subject[strings.LastIndexByte(stored.Subject, '.')+1:], 10, 64)
		if err != nil {
			return fmt.Errorf("load the merges of %s: %w", destination, err)
		}
		visit(block, stored.Data)
		from = stored.Sequence + 1
	}
}

// SaveMerges stores a block, in place of what it held, and returns once that is safe on disk.
func (j *Journal) SaveMerges(ctx context.Context, destination string, block uint64, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := j.store().merges.Put(ctx, mergesKey(destination, block), data); err != nil {
		return fmt.Errorf("save the merges of %s: %w", destination, err)
	}
	return nil
}

// DropMerges removes a block for good. One that is gone already is no error.
func (j *Journal) DropMerges(ctx context.Context, destination string, block uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	// Not the bucket's own way: that leaves a mark for each key.
	if err := j.store().merged.Purge(ctx, jetstream.WithPurgeSubject(mergesTopic+mergesKey(destination, block))); err != nil {
		return fmt.Errorf("drop merges of %s: %w", destination, err)
	}
	return nil
}

func mergesKey(destination string, block uint64) string {
	return destination + "." + strconv.FormatUint(block, 10)
}
