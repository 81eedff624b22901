package keystore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/embedded/keystore"
	"aka/router/journal/engine"
)

// BenchmarkApply saves 200 B under the same few keys, as progress is saved, on the real disk.
func BenchmarkApply(b *testing.B) {
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := open(b, vfs.Default, b.TempDir())
			value := make([]byte, 200)
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			b.ResetTimer()
			for w := range writers {
				destination := fmt.Sprintf("destination-%d", w)
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := s.Apply(context.Background(), destination, []engine.Change{{Key: []byte("progress"), Value: value}}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
		})
	}
}

// BenchmarkOpen opens a store of 100,000 records of 500 B that do not compress.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := open(b, vfs.Default, dir)
	fill(b, s, 100_000, 500)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("look", func(b *testing.B) {
		for b.Loop() {
			if _, err := keystore.Verify(dir, keystore.Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			s := open(b, vfs.Default, dir)
			b.StopTimer()
			_ = s.Close()
			b.StartTimer()
		}
	})
}

// fill applies records of random bytes, 500 in an Apply.
func fill(t testing.TB, s *keystore.Store, records, bytes int) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	var changes []engine.Change
	for i := range records {
		value := make([]byte, bytes)
		_, _ = random.Read(value)
		changes = append(changes, set(fmt.Sprintf("record-%08d", i), string(value)))
		if len(changes) == 500 || i == records-1 {
			apply(t, s, "vero", changes...)
			changes = changes[:0]
		}
	}
}
