package keystore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/embedded/keystore"
	"aka/router/journal/engine"
)

// state is what a store holds: for each destination, values by key.
type state map[string]map[string]string

func (s state) copy() state {
	c := make(state, len(s))
	for name, records := range s {
		c[name] = maps.Clone(records)
	}
	return c
}

func (s state) apply(destination string, changes []engine.Change) {
	if s[destination] == nil {
		s[destination] = make(map[string]string)
	}
	for _, c := range changes {
		if c.Delete {
			delete(s[destination], string(c.Key))
			continue
		}
		s[destination][string(c.Key)] = string(c.Value)
	}
}

// history is the state after each Apply; the first is the empty one.
type history []state

func newHistory() history { return history{state{}} }

func (h *history) add(destination string, changes []engine.Change) {
	s := (*h)[len(*h)-1].copy()
	s.apply(destination, changes)
	*h = append(*h, s)
}

func (h history) last() uint64 { return uint64(len(h) - 1) }

// someChanges sets and deletes some of 40 keys.
func someChanges(random *rand.Rand) (changes []engine.Change) {
	for range 1 + random.IntN(5) {
		key := fmt.Sprintf("key-%02d", random.IntN(40))
		if random.IntN(4) == 0 {
			changes = append(changes, remove(key))
			continue
		}
		value := make([]byte, random.IntN(600))
		for i := range value {
			value[i] = byte(random.Uint32())
		}
		changes = append(changes, set(key, string(value)))
	}
	return changes
}

// differs returns what a store holds other than it should. A record that is reported as damaged is no difference; damaged is how
// many there are.
func differs(s keystore.Records, want state) (damaged int, err error) {
	ctx := context.Background()
	for name, records := range want {
		for key, value := range records {
			got, err := s.Get(ctx, name, []byte(key))
			switch {
			case errors.Is(err, engine.ErrDamaged):
				damaged++
			case err != nil:
				return damaged, fmt.Errorf("record %s of %s: %w", key, name, err)
			case string(got) != value:
				return damaged, fmt.Errorf("record %s of %s differs", key, name)
			}
		}
		n := 0
		err := s.Scan(ctx, name, nil, nil, func(key, value []byte) (bool, error) {
			n++
			if should, ok := records[string(key)]; !ok || should != string(value) {
				return false, fmt.Errorf("Scan of %s has %s, there: %t", name, key, ok)
			}
			return true, nil
		})
		switch {
		case errors.Is(err, engine.ErrDamaged):
			damaged++
		case err != nil:
			return damaged, err
		case n != len(records):
			return damaged, fmt.Errorf("Scan of %s has %d records, expected %d", name, n, len(records))
		}
	}
	return damaged, nil
}

// files are the contents of a folder by name.
type files map[string][]byte

func readFiles(t testing.TB, fs vfs.FS, dir string) files {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := make(files)
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		found[name] = data
	}
	return found
}

// disk returns a new file system with the files in a folder.
func (f files) disk(t testing.TB, dir string) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range f {
		file, err := fs.Create(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		_, err = file.Write(bytes.Clone(data))
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

func (f files) equal(g files) error {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if got, ok := g[name]; !ok || !bytes.Equal(f[name], got) {
			return fmt.Errorf("%s has changed, still there: %t", name, ok)
		}
	}
	for name := range g {
		if _, ok := f[name]; !ok {
			return fmt.Errorf("%s is new", name)
		}
	}
	return nil
}

func (f files) with(name string, data []byte) files {
	g := maps.Clone(f)
	g[name] = data
	return g
}

func (f files) without(name string) files {
	g := maps.Clone(f)
	delete(g, name)
	return g
}

// afterKill returns the disk as it is after a kill now: everything that was written is there.
func afterKill(fs *vfs.MemFS) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// names returns the files that are not empty, sorted. Markers are, for instance.
func (f files) names() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if len(f[name]) > 0 {
			names = append(names, name)
		}
	}
	return names
}
