package keystore_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"aka/router/journal/embedded/keystore"
	"aka/router/journal/engine"
)

var (
	flips = flag.Int("flips", 300, "how many bits TestOneFlippedBit flips, one at a time")
	seed  = flag.Uint64("seed", 1, "seed of the random tests")
)

// madeStore returns the files of a store as a kill leaves them: several tables, two manifest edits at least, and a WAL with
// some Applies. The second result is what it held after each Apply.
func madeStore(t testing.TB, random *rand.Rand) (files, history) {
	t.Helper()
	fs := vfs.NewCrashableMem()
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
	some(60) // more than a block of the WAL
	found := readFiles(t, afterKill(fs), folder)
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

// TestOneFlippedBit flips bits in every kind of file: nothing is lost, or it is reported, or Open refuses by the file's name and
// writes nothing. The end of the WAL may be lost where the number shows it.
func TestOneFlippedBit(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 1))
	whole, h := madeStore(t, random)
	byKind := make(map[string][]string)
	for _, name := range whole.names() {
		byKind[kindOf(name)] = append(byKind[kindOf(name)], name)
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

// TestAMissingFileIsNeverSilent removes each file: nothing is lost, or Open refuses and writes nothing. Only the last WAL can be
// missing as if it had never been, and then the number shows it.
func TestAMissingFileIsNeverSilent(t *testing.T) {
	whole, h := storeWithWALs(t)
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		damaged := whole.without(name)
		fs := damaged.disk(t, folder)
		s, err := keystore.Open(folder, keystore.Options{FS: fs})
		if err != nil {
			t.Logf("without %s: %v", name, err)
			if !errors.Is(err, engine.ErrDamaged) || !strings.Contains(err.Error(), folder) {
				t.Errorf("without %s, Open returns %v", name, err)
			}
			if err := damaged.equal(readFiles(t, fs, folder)); err != nil {
				t.Errorf("without %s, Open refused, but %v", name, err)
			}
			continue
		}
		if _, err := differs(s, h[s.Number()]); err != nil {
			t.Errorf("without %s: %v", name, err)
		}
		if s.Number() < h.last() {
			t.Logf("without %s: number is %d of %d", name, s.Number(), h.last())
			if name != lastOf(whole, "log") {
				t.Errorf("without %s: number is %d, expected %d", name, s.Number(), h.last())
			}
		}
		_ = s.Close()
	}
}

// TestACutFileIsNeverSilent does the same with files that end too early.
func TestACutFileIsNeverSilent(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 3))
	whole, h := storeWithWALs(t)
	outcomes := make(map[string]int)
	for range *flips / 5 {
		names := slices.Sorted(maps.Keys(whole))
		name := names[random.IntN(len(names))]
		if len(whole[name]) == 0 {
			continue
		}
		damaged := whole.with(name, whole[name][:random.IntN(len(whole[name]))])
		fs := damaged.disk(t, folder)
		s, err := keystore.Open(folder, keystore.Options{FS: fs})
		what := "refused"
		switch {
		case err != nil && !errors.Is(err, engine.ErrDamaged):
			t.Errorf("%s of %d B: Open returns %v", name, len(damaged[name]), err)
		case err != nil:
			if err := damaged.equal(readFiles(t, fs, folder)); err != nil {
				t.Errorf("%s of %d B: Open refused, but %v", name, len(damaged[name]), err)
			}
		case s.Number() < h.last() && name != lastOf(whole, "log"):
			t.Errorf("%s of %d B: number is %d, expected %d", name, len(damaged[name]), s.Number(), h.last())
		default:
			what = fmt.Sprintf("opened, all there: %t", s.Number() == h.last())
			if _, err := differs(s, h[s.Number()]); err != nil {
				t.Errorf("%s of %d B: %v", name, len(damaged[name]), err)
			}
			_ = s.Close()
		}
		outcomes[kindOf(name)+": "+what]++
	}
	t.Log(outcomes)
}

// TestAClosedWALIsWhole cuts the mark off a WAL that was closed, behind which there is only an empty one.
func TestAClosedWALIsWhole(t *testing.T) {
	whole, _ := storeWithWALs(t)
	empty := lastOf(whole, "log")
	closed := lastOf(whole.without(empty), "log")
	damaged := whole.with(empty, nil).with(closed, whole[closed][:len(whole[closed])-11])
	_, err := keystore.Open(folder, keystore.Options{FS: damaged.disk(t, folder)})
	if !errors.Is(err, engine.ErrDamaged) || !strings.Contains(err.Error(), closed) {
		t.Errorf("Open returns %v", err)
	}
}

// storeWithWALs returns the files of a store with tables and with several WALs that are not in tables yet.
func storeWithWALs(t *testing.T) (files, history) {
	random := rand.New(rand.NewPCG(*seed, 4))
	d := newDisk()
	o, _ := observed(d)
	s := openWith(t, folder, o)
	h := newHistory()
	some := func() {
		for range 10 {
			changes := someChanges(random)
			apply(t, s, "vero", changes...)
			h.add("vero", changes)
		}
	}
	some()
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	some()
	d.breakWith(at(syscall.EIO, ".sst", errorfs.OpCreate)) // from here on, what is in a WAL stays there
	for range 2 {
		if err := s.Rotate(); err != nil {
			t.Fatal(err)
		}
		some()
	}
	found := readFiles(t, afterKill(d.mem), folder)
	d.breakWith(nil)
	delete(found, "LOCK")
	return found, h
}

func lastOf(f files, kind string) (last string) {
	for name := range f {
		if kindOf(name) == kind && name > last {
			last = name
		}
	}
	return last
}

func TestVerifyRefusesBeforeAnythingIsWritten(t *testing.T) {
	whole, h := storeWithWALs(t)
	fs := whole.disk(t, folder)
	refusal := errors.New("the log says otherwise")
	called := false
	o := keystore.Options{FS: fs, Verify: func(r keystore.Records, number uint64) error {
		called = true
		want(t, "number", number, h.last())
		if damaged, err := differs(r, h[number]); damaged > 0 || err != nil {
			t.Errorf("Verify sees %d damaged, %v", damaged, err)
		}
		return refusal
	}}
	if _, err := keystore.Open(folder, o); !errors.Is(err, refusal) || errors.Is(err, engine.ErrDamaged) || !called {
		t.Errorf("Open returns %v", err)
	}
	if err := whole.equal(readFiles(t, fs, folder)); err != nil {
		t.Error(err)
	}
}

func TestReadingOnlyChangesNothing(t *testing.T) {
	whole, h := storeWithWALs(t)
	fs := whole.disk(t, folder)
	for range 2 { // two at once
		s, err := keystore.OpenReadOnly(folder, keystore.Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		want(t, "number", s.Number(), h.last())
		if damaged, err := differs(s, h[h.last()]); damaged > 0 || err != nil {
			t.Errorf("%d damaged, %v", damaged, err)
		}
		if _, err := s.Apply(context.Background(), "vero", nil); err == nil {
			t.Error("Apply returns nil")
		}
	}
	if number, err := keystore.Verify(folder, keystore.Options{FS: fs}); err != nil || number != h.last() {
		t.Errorf("Verify returns %d, %v", number, err)
	}
	if err := whole.equal(readFiles(t, fs, folder)); err != nil {
		t.Error(err)
	}
	if _, err := keystore.OpenReadOnly("nowhere", keystore.Options{FS: fs}); err == nil {
		t.Error("OpenReadOnly of a folder that is not there returns nil")
	}
}

// TestDamageWhileRunning flips bits in the tables of a running store: reads return the right value or ErrDamaged.
func TestDamageWhileRunning(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 5))
	whole, h := madeStore(t, random)
	told := 0
	for range 6 {
		fs := whole.disk(t, folder)
		core, logs := observer.New(zap.ErrorLevel)
		o := keystore.Options{FS: fs, Log: zap.New(core)}.Adjusted(func(p *pebble.Options) { p.DisableAutomaticCompactions = true })
		s := openWith(t, folder, o)
		for name, data := range whole {
			if kindOf(name) == "sst" {
				data = bytes.Clone(data)
				for range 3 {
					data[random.IntN(len(data))] ^= 1 << random.IntN(8)
				}
				overwrite(t, fs, name, data)
			}
		}
		n, err := differs(s, h[h.last()])
		if err != nil {
			t.Error(err)
		}
		if n > 0 && logs.FilterMessage("stored records are damaged").Len() != 1 {
			t.Errorf("%d reads told of damage, and the log has %d lines", n, logs.Len())
		}
		told += n
		want(t, "number", apply(t, s, "vero", set("new", "value")), h.last()+1)
		_ = s.Close()
	}
	t.Logf("%d reads told of damage", told)
	if told == 0 {
		t.Error("no read met damage")
	}
}

// overwrite changes the contents of a file that is open.
func overwrite(t *testing.T, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.OpenReadWrite(fs.PathJoin(folder, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(data, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderOfALaterFormatIsRefused(t *testing.T) {
	whole, _ := storeWithWALs(t)
	line := "aka keystore 2"
	whole = whole.with("KEYSTORE", fmt.Appendf(nil, "%s %08x\n", line, crc32.ChecksumIEEE([]byte(line))))
	fs := whole.disk(t, folder)
	_, err := keystore.Open(folder, keystore.Options{FS: fs})
	if err == nil || errors.Is(err, engine.ErrDamaged) || !strings.Contains(err.Error(), folder+"/KEYSTORE: records of format 2, expected 1 to 1") {
		t.Errorf("Open returns %v", err)
	}
	if err := whole.equal(readFiles(t, fs, folder)); err != nil {
		t.Error(err)
	}
}

func TestABeginningIsMadeAgain(t *testing.T) {
	beginning := files{"marker.manifest.000001.MANIFEST-000001": nil, "000002.log": nil, "OPTIONS-000003": []byte("[Ver")}
	s := open(t, beginning.disk(t, folder), folder)
	want(t, "number", apply(t, s, "vero", set("a", "1")), 1)
}

func TestAForeignFolderIsLeftAlone(t *testing.T) {
	foreign := files{"nginx.log": []byte("GET /"), "notes.txt": []byte("do not lose")}
	fs := foreign.disk(t, folder)
	if _, err := keystore.Open(folder, keystore.Options{FS: fs}); err == nil || !strings.Contains(err.Error(), "nginx.log") {
		t.Errorf("Open returns %v", err)
	}
	if err := foreign.equal(readFiles(t, fs, folder)); err != nil {
		t.Error(err)
	}
}

// TestAnInterruptedOpenLosesNothing stops the making of a store, and the opening of one, after each of its writes, and cuts the
// power then.
func TestAnInterruptedOpenLosesNothing(t *testing.T) {
	made := newDisk()
	o, _ := observed(made)
	s := openWith(t, folder, o)
	apply(t, s, "vero", set("a", "1"))
	for _, before := range []*vfs.MemFS{vfs.NewCrashableMem(), made.afterPowerCut()} {
		n := 0
		for !interruptedOpen(t, before, n) {
			n++
		}
		t.Logf("there were %d writes", n)
	}
}

// interruptedOpen opens a folder on a disk that breaks after n writes, and reports whether that was enough.
func interruptedOpen(t *testing.T, before *vfs.MemFS, n int) (done bool) {
	d := diskOn(before.CrashClone(vfs.CrashCloneCfg{}))
	o, _ := observed(d)
	left := n
	d.breakWith(func(op errorfs.Op) error {
		if full(op) == nil {
			return nil
		}
		if left--; left < 0 {
			return syscall.EIO
		}
		return nil
	})
	s, err := keystore.Open(folder, o)
	number := uint64(0)
	if before, err := keystore.Verify(folder, keystore.Options{FS: before}); err == nil {
		number = before
	}
	random := rand.New(rand.NewPCG(*seed, uint64(n)))
	for _, percent := range []int{0, 50, 50, 50, 50, 100} {
		fs := d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: random})
		s, err := keystore.Open(folder, keystore.Options{FS: fs})
		if err != nil {
			t.Errorf("after %d writes, with %d %%: %v", n, percent, err)
			continue
		}
		want(t, "number", apply(t, s, "vero", set("b", "2")), number+1)
		if number > 0 {
			want(t, "records", scan(t, s, "vero", nil, nil), []string{"a=1", "b=2"})
		}
		_ = s.Close()
	}
	if err == nil {
		_ = s.Close()
	}
	return err == nil
}
