package merges

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/journal"
)

// benchStore is a destination's facts in a journal.
type benchStore struct{ *journal.Journal }

const benchName = "d"

func (s benchStore) Fact(ctx context.Context, key []byte) ([]byte, error) {
	return s.Journal.Fact(ctx, benchName, key)
}

func (s benchStore) EachFact(ctx context.Context, from []byte, visit func(key, value []byte) bool) error {
	return s.Journal.EachFact(ctx, benchName, from, visit)
}

func (s benchStore) save(b *testing.B, m *Memory) {
	b.Helper()
	progress := journal.NewProgress(journal.Position{Seq: 1}, 0).Encode(true)
	for range 20 {
		c := m.Changes()
		err := s.SaveProgress(context.Background(), benchName, progress, c.Facts, nil)
		if err == nil {
			m.Saved(c)
			return
		}
		m.Failed(c) // what writes all the time waits for the compactions
	}
	b.Fatal("nothing can be saved")
}

func openBench(b *testing.B, dir string) benchStore {
	b.Helper()
	options := journal.DefaultOptions
	options.Dir = dir
	j, err := journal.Open(context.Background(), options, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	return benchStore{j}
}

// benchIDs is how many ids a large memory has; fewer with -short.
func benchIDs() int {
	if testing.Short() {
		return 200_000
	}
	return 10_000_000
}

// BenchmarkLarge measures a memory of 10 million ids, a user and his device being one person: how long a start takes, what an id
// takes on disk, and what is asked of it, of a few ids (warm) and of more than are
// in memory (cold).
func BenchmarkLarge(b *testing.B) {
	dir := b.TempDir()
	ids := benchIDs()
	fillBench(b, dir, ids)
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			store := openBench(b, dir)
			m := openMemory(b, store, Options{Account: "a"})
			if m.Len() != ids {
				b.Fatalf("%d ids", m.Len())
			}
			b.StopTimer()
			store.Close()
			b.StartTimer()
		}
		b.ReportMetric(float64(sizeOfFolder(b, dir))/float64(ids), "disk-B/id")
	})
	store := openBench(b, dir)
	defer store.Close()
	for name, among := range map[string]int{"warm": 10_000, "cold": realIDs / 2} {
		m := openMemory(b, store, Options{Account: "a", MaxAge: DefaultMaxAge, MaxBytes: DefaultMaxBytes})
		at := time.Now()
		ask := func(name string, do func(n string)) {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					do(strconv.Itoa(int(uint64(i) * 2654435761 % uint64(among))))
				}
			})
		}
		ask("refuses-"+name, func(n string) {
			m.Refuses(&adapter.Merge{Rule: adapter.MergeGivesFrom, From: "device-" + n, To: "user-" + n, Limit: 500})
		})
		ask("person-"+name, func(n string) { m.Person("user-" + n) })
		ask("add-known-"+name, func(n string) {
			m.Add(&adapter.Merge{Rule: adapter.MergeGivesFrom, From: "device-" + n, To: "user-" + n, Limit: 500}, at, "website")
		})
		before := heapInUse()
		b.Run("heap-"+name, func(b *testing.B) {
			for i := range realIDs / 2 {
				m.Person("device-" + strconv.Itoa(i))
			}
			b.ReportMetric(float64(heapInUse()-before)/(1<<20), "MiB")
			runtime.KeepAlive(m)
		})
	}
	m := openMemory(b, store, Options{Account: "a"})
	b.Run("add-new", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			n := strconv.FormatInt(time.Now().UnixNano(), 36)
			m.Add(&adapter.Merge{Rule: adapter.MergeGivesFrom, From: "new-" + n, To: "one-" + n, Limit: 500}, time.Now(), "website")
			if i%1000 == 999 {
				store.save(b, m)
			}
		}
	})
}

// realIDs is how many ids of a large memory come by its own way, at most. The others are made up, in the order of their digests: that
// takes a minute for ten million.
const realIDs = 200_000

func fillBench(b *testing.B, dir string, ids int) {
	b.Helper()
	store := openBench(b, dir)
	defer store.Close()
	m := openMemory(b, store, Options{Account: "a"})
	at := time.Now()
	for i := range min(ids, realIDs) / 2 {
		n := strconv.Itoa(i)
		m.Add(&adapter.Merge{Rule: adapter.MergeGivesFrom, From: "device-" + n, To: "user-" + n, Limit: 500}, at, "website")
		m.Identified("user-"+n, at, "website")
		m.SeenWithUser("device-"+n, at)
		if len(m.unsaved) > maxUnsaved/4 {
			store.save(b, m)
		}
	}
	random := rand.NewChaCha8([32]byte{1})
	for i := range uint64(ids - min(ids, realIDs)) {
		n := &node{exists: true, record: record{flags: hasNext | hasFirst | isWhole, day: dayOf(at), first: secondsOf(at), source: 1}}
		if i%2 == 0 {
			n.set(hasParent | givenFrom | isDevice)
		} else {
			n.set(isPerson | personUser | isUser)
			n.size, n.since, n.userSource, n.joins = 2, secondsOf(at), 1, []uint32{secondsOf(at)}
		}
		_, _ = random.Read(n.parent[:])
		_, _ = random.Read(n.next[:])
		_, _ = random.Read(n.id[:])
		binary.BigEndian.PutUint64(n.id[:], i*(math.MaxUint64/uint64(ids)))
		m.meta.count++
		m.note(n)
		if len(m.unsaved) > maxUnsaved/4 {
			store.save(b, m)
		}
	}
	store.save(b, m)
}

func sizeOfFolder(b *testing.B, dir string) (bytes int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return bytes
}

func heapInUse() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
