package keystore_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/embedded/keystore"
	"aka/router/journal/engine"
)

var cuts = flag.Int("cuts", 20, "how many power cuts TestAPowerCut makes")

// counter is a destination whose Applies each set three keys to the number of the Apply, from 1 on.
type counter struct {
	name           string
	started, acked atomic.Int64
}

func (c *counter) changes(n int64) []engine.Change {
	value := strings.Repeat(fmt.Sprintf("%d,", n), 1+int(n*7%300)) // some are longer than a page
	return []engine.Change{set("a", value), set("b", value), set("c", value), remove("gone"), set(fmt.Sprintf("of %d", n%50), value)}
}

// run applies until the context ends.
func (c *counter) run(ctx context.Context, t *testing.T, s *keystore.Store) {
	for n := c.started.Load() + 1; ctx.Err() == nil; n++ {
		c.started.Store(n)
		if _, err := s.Apply(context.Background(), c.name, c.changes(n)); err != nil {
			t.Error(err)
			return
		}
		c.acked.Store(n)
	}
}

// check checks what a later store has of the destination: a whole Apply, and none of the acknowledged ones is missing.
func (c *counter) check(t *testing.T, s keystore.Records, acked, started int64) {
	t.Helper()
	got := make(map[string]string)
	for _, key := range []string{"a", "b", "c"} {
		value, err := s.Get(context.Background(), c.name, []byte(key))
		if err != nil && acked > 0 {
			t.Errorf("%s, key %s: %v", c.name, key, err)
		}
		got[key] = string(value)
	}
	if got["a"] != got["b"] || got["b"] != got["c"] {
		t.Errorf("%s has a part of an Apply", c.name)
	}
	var n int64
	if got["a"] != "" {
		_, _ = fmt.Sscanf(got["a"], "%d,", &n)
	}
	if n < acked || n > started {
		t.Errorf("%s is at %d, acknowledged were %d, started %d", c.name, n, acked, started)
	}
}

// TestAPowerCut clones the disk at random moments, with a random part of what was not synced.
func TestAPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	o := keystore.Options{FS: fs}.Adjusted(func(p *pebble.Options) {
		p.MemTableSize = 64 << 10 // many flushes and WALs
		p.MaxManifestFileSize = 8 << 10
	})
	s := openWith(t, folder, o)
	counters := []*counter{{name: "vero"}, {name: "iterable"}, {name: "*"}}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, c := range counters {
		all.Go(func() { c.run(ctx, t, s) })
	}
	random := rand.New(rand.NewPCG(*seed, 2))
	for i := range *cuts {
		percent := []int{0, 10, 50, 90, 100}[random.IntN(5)]
		acked, number := make([]int64, len(counters)), s.Number()
		for i, c := range counters {
			acked[i] = c.acked.Load()
		}
		after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: random})
		again := o
		again.FS = after
		restarted, err := keystore.Open(folder, again)
		if err != nil {
			t.Fatalf("cut %d with %d %%: %v", i, percent, err)
		}
		if restarted.Number() < number {
			t.Errorf("number is %d after cut %d, expected at least %d", restarted.Number(), i, number)
		}
		for i, c := range counters {
			c.check(t, restarted, acked[i], c.started.Load())
		}
		if err := restarted.Close(); err != nil {
			t.Error(err)
		}
	}
	cancel()
	all.Wait()
}

// TestManyAtOnce uses a store from many goroutines, with checkpoints, and checks that a checkpoint holds exactly the Applies up
// to its number.
func TestManyAtOnce(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs, folder)
	counters := []*counter{{name: "vero"}, {name: "iterable"}, {name: "a"}, {name: "ab"}}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, c := range counters {
		all.Go(func() { c.run(ctx, t, s) })
		all.Go(func() { readAll(ctx, t, s, c.name) })
	}
	for i := range 6 {
		dir := fmt.Sprintf("copies/%d", i)
		var number uint64
		var started, acked [4]int64
		err := s.Checkpoint(context.Background(), dir, func() error {
			number = s.Number()
			for i, c := range counters {
				acked[i], started[i] = c.acked.Load(), c.started.Load()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		copied := open(t, fs, dir)
		want(t, "number of the copy", copied.Number(), number)
		for i, c := range counters {
			c.check(t, copied, acked[i], started[i])
		}
		want(t, "next number of the copy", apply(t, copied, "vero", set("x", "y")), number+1)
	}
	cancel()
	all.Wait()
}

// readAll reads the records of a destination until the context ends.
func readAll(ctx context.Context, t *testing.T, s *keystore.Store, destination string) {
	for ctx.Err() == nil {
		err := s.Scan(context.Background(), destination, nil, nil, func(key, value []byte) (bool, error) {
			_, err := s.Get(context.Background(), destination, key)
			return true, err
		})
		if err != nil {
			t.Error(err)
		}
		if _, err := s.Destinations(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
