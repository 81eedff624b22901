package keystore_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/embedded/keystore"
	"aka/router/journal/engine"
)

var (
	flips = flag.Int("flips", 500, "how many bits TestOneFlippedBit flips, one at a time")
	seed  = flag.Uint64("seed", 1, "seed of the random tests")
)

// madeStore returns the files of a store as a kill leaves them: several tables, two manifest edits at least, and a WAL with
// some Applies. The second result is what it held after each Apply.
func madeStore(t testing.TB, random *rand.Rand) (files, history) {
	t.Helper()
	fs := vfs.NewMem()
	h := newHistory()
	// many small tables that stay
	o := keystore.Options{FS: fs}.Adjusted(func(p *pebble.Options) { p.DisableAutomaticCompactions = true })
	s := openWith(t, folder, o)
	some := func(n int) {
		for range n {
			destination := []string{"vero", "iterable"}[random.IntN(2)]
			changes := someChanges(random)
			apply(t, s, destination, changes...)
			h.add(destination, changes)
		}
	}
	for range 3 {
		some(20)
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openWith(t, folder, o)
	some(20)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	some(30)
	found := readFiles(t, fs, folder)
	delete(found, "LOCK") // is of no account, and not in a checkpoint
	return found, h
}

// kindOf is what a file is for.
func kindOf(name string) string {
	if _, ext, ok := strings.Cut(name, "."); ok && !strings.HasPrefix(name, "marker") {
		return ext
	}
	kind, _, _ := strings.Cut(name, "-")
	return kind
}

// outcome opens a damaged copy of a folder and returns what came of it. An error is an outcome that must not be.
func outcome(t *testing.T, damaged files, name string, h history) (string, error) {
	fs := damaged.disk(t, folder)
	s, err := keystore.Open(folder, keystore.Options{FS: fs})
	if err != nil {
		if !errors.Is(err, engine.ErrDamaged) || !strings.Contains(err.Error(), folder+"/"+name) {
			return "", fmt.Errorf("refused, but without the file: %w", err)
		}
		if err := damaged.equal(readFiles(t, fs, folder)); err != nil {
			return "", fmt.Errorf("refused, but %w", err)
		}
		return "refused", nil
	}
	defer func() { _ = s.Close() }()
	lost := h.last() - s.Number()
	if lost > 0 && kindOf(name) != "log" {
		return "", fmt.Errorf("%d Applies are gone", lost)
	}
	told, err := differs(s, h[s.Number()])
	switch {
	case err != nil:
		return "", err
	case told > 0:
		return "told", nil
	case lost > 0:
		return "number is lower", nil
	}
	return "nothing lost", nil
}

// TestOneFlippedBit flips bits in every kind of file: nothing is lost, or it is told, or Open refuses by the file's name and
// writes nothing. The end of the WAL may be lost where the number shows it.
func TestOneFlippedBit(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 1))
	whole, h := madeStore(t, random)
	byKind := make(map[string][]string)
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		if len(whole[name]) > 0 { // markers have a name and nothing else
			byKind[kindOf(name)] = append(byKind[kindOf(name)], name)
		}
	}
	kinds := slices.Sorted(maps.Keys(byKind))
	outcomes := make(map[string]int)
	for i := range *flips {
		names := byKind[kinds[i%len(kinds)]]
		name := names[random.IntN(len(names))]
		data := slices.Clone(whole[name])
		bit := random.IntN(len(data) * 8)
		data[bit/8] ^= 1 << (bit % 8)
		what, err := outcome(t, whole.with(name, data), name, h)
		if err != nil {
			t.Errorf("seed %d, flip %d, bit %d of byte %d in %s (%d B): %v", *seed, i, bit%8, bit/8, name, len(data), err)
		}
		outcomes[kindOf(name)+": "+what]++
	}
	for _, kind := range kinds {
		t.Logf("%s: %v", kind, byKind[kind])
	}
	for _, what := range slices.Sorted(maps.Keys(outcomes)) {
		t.Logf("%4d %s", outcomes[what], what)
	}
}
