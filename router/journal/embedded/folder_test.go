package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/zap"

	"aka/router/journal/engine"
)

// built is what a folder that build has made holds.
type built struct {
	files
	killed  files             // as they were before the engine was closed
	last    uint64            // frame
	applies map[string]uint64 // of each destination
}

// builtOnce is the same for all tests, which do not change it.
var builtOnce built

// build returns the files of a closed engine: several segments, the last Append after the last Apply, records in tables and in
// a WAL. Those of the killed one have zeros behind the log's last frames, which were small.
func build(t testing.TB) built {
	t.Helper()
	if builtOnce.files != nil {
		return builtOnce
	}
	dir := newFolder(t)
	b := built{applies: map[string]uint64{}}
	for run := range 3 {
		e := openAt(t, dir) // puts the records of the run before into a table
		for range 30 {
			for _, name := range destinations {
				b.applies[name]++
				must(t, e.Apply(context.Background(), name, changesOf(name, b.applies[name])))
			}
			var frames [][]byte
			for n := range uint64(20) {
				frames = append(frames, frameOf(b.last+n+1))
			}
			b.append(t, e, frames...)
		}
		for range 10 {
			b.append(t, e, frameOf(b.last+1))
		}
		if run == 2 {
			copied := newFolder(t)
			copyAsItIs(t, dir, copied)
			b.killed = filesOf(t, copied)
		}
		must(t, e.Close())
	}
	b.files = filesOf(t, dir)
	if n := len(b.segments()); n < 4 {
		t.Fatalf("there are %d segments", n)
	}
	if name := b.segments()[len(b.segments())-1]; len(b.killed[name]) <= len(b.files[name]) {
		t.Fatal("there are no zeros in the killed one's log")
	}
	builtOnce = b
	return b
}

func (b *built) append(t testing.TB, e engine.Engine, frames ...[]byte) {
	t.Helper()
	last, err := e.Append(context.Background(), frames, b.last)
	must(t, err)
	b.last = last
}

func (b built) segments() []string { return b.match(logFolder, ".seg") }

// match returns the names of the files in a folder that contain a part, in order.
func (b built) match(folder, part string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(b.files)) {
		if filepath.Dir(name) == folder && strings.Contains(filepath.Base(name), part) && !strings.HasSuffix(name, "/") {
			names = append(names, name)
		}
	}
	return names
}

// check fails unless an engine has all that was built.
func (b built) check(t testing.TB, e engine.Engine) {
	t.Helper()
	if _, last := wantFrames(t, e, b.last, 1<<63); last != b.last {
		t.Fatalf("the log ends with frame %d, want %d", last, b.last)
	}
	for name, want := range b.applies {
		if n := applied(t, e, name); n != want {
			t.Fatalf("%s has had %d Applies, want %d", name, n, want)
		}
	}
}

// wantRefused fails unless the folder is refused with an error of a kind that has these words, and is not changed.
func wantRefused(t *testing.T, dir string, kind error, words ...string) {
	t.Helper()
	before := filesOf(t, dir)
	wantNoOpen(t, dir, kind, words...)
	if change := before.differs(filesOf(t, dir)); change != "" {
		t.Errorf("the folder was refused, and %s", change)
	}
}

// wantNoOpen is wantRefused for a folder that an engine works in meanwhile.
func wantNoOpen(t *testing.T, dir string, kind error, words ...string) {
	t.Helper()
	e, err := Open(t.Context(), Options{Dir: dir, Log: zap.NewNop(), segmentBytes: testSegment})
	if err == nil {
		_ = e.Close()
		t.Fatal("the folder is not refused")
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("refused with %v, want %v", err, kind)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in the error: %v", word, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has more than one line: %q", err)
	}
}

func TestAFolderThatIsNotWholeIsRefused(t *testing.T) {
	b := build(t)
	segments := b.segments()
	manifests := slices.DeleteFunc(b.match(recordFolder, "MANIFEST"), func(name string) bool { return kindOf(name) == "marker" })
	tests := map[string]struct {
		remove []string // files, and what is in folders
		write  map[string]string
		kind   error
		words  []string
	}{
		"the first segment is missing":     {remove: segments[:1], kind: ErrBroken, words: segments[:1]},
		"a middle segment is missing":      {remove: segments[1:2], kind: ErrBroken, words: segments[1:2]},
		"two middle segments are missing":  {remove: segments[1:3], kind: ErrBroken, words: []string{segments[2]}},
		"the last segment is missing":      {remove: segments[len(segments)-1:], kind: ErrBroken, words: segments[len(segments)-1:]},
		"all segments are missing":         {remove: segments, kind: ErrBroken, words: segments[:1]},
		"the log is missing":               {remove: []string{"log/"}, kind: ErrBroken, words: []string{"/log is missing"}},
		"the log is empty":                 {remove: append(segments, "log/state"), kind: ErrBroken, words: []string{"/log/state is missing"}},
		"the log has no state":             {remove: []string{"log/state"}, kind: ErrBroken, words: []string{"/log/state"}},
		"the records are missing":          {remove: []string{"records/"}, kind: ErrBroken, words: []string{"/records is missing"}},
		"the records are empty":            {remove: b.match("records", ""), kind: ErrBroken, words: []string{"/records/KEYSTORE is missing"}},
		"the records have no format":       {remove: []string{"records/KEYSTORE"}, kind: ErrBroken, words: []string{"/records/KEYSTORE"}},
		"the records have no manifest":     {remove: manifests, kind: ErrBroken, words: manifests[len(manifests)-1:]},
		"the records have no marker":       {remove: b.match("records", "marker.manifest"), kind: ErrBroken, words: []string{"/records/marker.manifest"}},
		"the records have no tables":       {remove: b.match("records", ".sst"), kind: ErrBroken, words: []string{"/records/", strings.TrimSuffix(filepath.Base(b.match("records", ".sst")[0]), ".sst")}},
		"the records have no WAL":          {remove: b.match("records", ".log"), kind: ErrBroken, words: []string{"/records ends with change"}},
		"the identity is missing":          {remove: []string{identityFile}, kind: ErrBroken, words: []string{"aka-journal is missing"}},
		"the identity is empty":            {write: map[string]string{identityFile: ""}, kind: ErrBroken, words: []string{"aka-journal is damaged"}},
		"the identity is damaged":          {write: map[string]string{identityFile: strings.Replace(identity(), "3", "4", 1)}, kind: ErrBroken, words: []string{"aka-journal is damaged"}},
		"the identity is long":             {write: map[string]string{identityFile: strings.Repeat("x", 5000)}, kind: ErrBroken, words: []string{"aka-journal is damaged"}},
		"the version is a later one":       {write: map[string]string{identityFile: withSum("aka journal 4\n")}, kind: ErrOtherVersion, words: []string{"aka-journal", "4", "reads 3", "use that version"}},
		"the version is an earlier one":    {write: map[string]string{identityFile: withSum("aka journal 2\n")}, kind: ErrOtherVersion, words: []string{"aka-journal", "reads 3", "aka drain", "aka dead list", "empty folder"}},
		"the state is another version's":   {write: map[string]string{"log/state": "aka-log\n\x09"}, words: []string{"/log/state"}},
		"the engine is the old one":        {write: map[string]string{"jetstream/meta.inf": "x"}, kind: ErrOtherVersion, words: []string{"aka drain", "aka dead list", "empty folder"}},
		"a segment is renamed":             {remove: segments[1:2], write: map[string]string{"log/00000000000000000099.seg": b.files[segments[1]]}, kind: ErrBroken, words: []string{"/log/00000000000000000099.seg"}},
		"the last segment is an empty one": {write: map[string]string{segments[len(segments)-1]: ""}, kind: ErrBroken, words: segments[len(segments)-1:]},
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) {
			test := tests[name]
			dir := newFolder(t)
			b.put(t, dir)
			for _, path := range test.remove {
				must(t, os.RemoveAll(filepath.Join(dir, path)))
			}
			files(test.write).put(t, dir)
			wantRefused(t, dir, test.kind, test.words...)
		})
	}
}

func TestAStrangeFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("x"), 0o600))
	wantRefused(t, dir, ErrNoJournal, dir, "thesis.txt", "empty folder")
	if _, err := os.Stat(filepath.Join(dir, lockFile)); err == nil {
		t.Error("a lock was made in it")
	}
	file := filepath.Join(dir, "thesis.txt")
	if _, err := Open(t.Context(), Options{Dir: file, Log: zap.NewNop()}); !errors.Is(err, ErrNoJournal) {
		t.Errorf("a file is refused with %v", err)
	}
	old := t.TempDir()
	files{"jetstream/meta.inf": "x"}.put(t, old)
	wantRefused(t, old, ErrOtherVersion, "aka drain", "aka dead list", "empty folder")
}

// The log's frames carry the number of the last Apply. Records of an earlier time do not have it.
func TestRecordsOlderThanTheLogAreRefused(t *testing.T) {
	dir := newFolder(t)
	e := openAt(t, dir)
	for n := range uint64(20) {
		must(t, e.Apply(t.Context(), "vero", changesOf("vero", n+1)))
	}
	old := filepath.Join(t.TempDir(), "records")
	copyAsItIs(t, filepath.Join(dir, recordFolder), old)
	must(t, e.Apply(t.Context(), "vero", changesOf("vero", 21)))
	_, err := e.Append(t.Context(), [][]byte{frameOf(1)}, 0)
	must(t, err)
	must(t, e.Close())
	records := filepath.Join(dir, recordFolder)
	must(t, os.RemoveAll(records))
	filesOf(t, old).put(t, records)
	wantRefused(t, dir, ErrBroken, records, "20", "21")
	i := inspect(t, dir)
	i.Close()
	if problems := i.Problems; len(problems) != 1 || !strings.Contains(problems[0], records) {
		t.Errorf("Inspect finds %q", problems)
	}
	// The number is kept when the frames that carry it are trimmed.
	must(t, os.RemoveAll(dir))
	e = openAt(t, dir)
	for n := range uint64(21) {
		must(t, e.Apply(t.Context(), "vero", changesOf("vero", n+1)))
	}
	_, err = e.Append(t.Context(), [][]byte{make([]byte, testSegment), make([]byte, testSegment)}, 0)
	must(t, err)
	must(t, e.Trim(t.Context(), 3))
	if first, last, _ := e.Bounds(t.Context()); first != 3 || last != 2 {
		t.Fatalf("bounds are %d and %d", first, last)
	}
	must(t, e.Close())
	must(t, os.RemoveAll(records))
	filesOf(t, old).put(t, records)
	wantRefused(t, dir, ErrBroken, records, "20", "21")
}

func inspect(t *testing.T, dir string) *Inspection {
	t.Helper()
	i, err := Inspect(dir, func(engine.Frame) {})
	must(t, err)
	return i
}

func TestVerifyRefusesBeforeAnythingIsChanged(t *testing.T) {
	dir := newFolder(t)
	b := build(t)
	b.put(t, dir)
	mine := errors.New("mine")
	_, err := Open(t.Context(), Options{Dir: dir, Log: zap.NewNop(), Verify: func(v engine.View) error {
		_, last := wantFrames(t, v, b.last, 1<<63)
		return fmt.Errorf("%w: %d frames, %d Applies", mine, last, applied(t, v, "vero"))
	}})
	if !errors.Is(err, mine) || !strings.Contains(err.Error(), fmt.Sprintf("%d frames, %d Applies", b.last, b.applies["vero"])) {
		t.Errorf("refused with %v", err)
	}
	if change := b.differs(filesOf(t, dir)); change != "" {
		t.Errorf("the folder was refused, and %s", change)
	}
	b.check(t, openAt(t, dir))
}

func TestAFolderInUseIsRefused(t *testing.T) {
	dir := newFolder(t)
	e := openAt(t, dir)
	_, err := e.Append(t.Context(), [][]byte{frameOf(1)}, 0)
	must(t, err)
	wantNoOpen(t, dir, ErrInUse, fmt.Sprint(os.Getpid()))
	if _, err := Inspect(dir, func(engine.Frame) {}); !errors.Is(err, ErrInUse) {
		t.Errorf("Inspect returns %v", err)
	}
	must(t, e.Close())
	i := inspect(t, dir)
	wantRefused(t, dir, ErrInUse)
	i.Close()
	wantFrames(t, openAt(t, dir), 1, 1<<63)
}

// Another process may make a journal, fill it and end between the look at a new folder and the lock.
func TestAJournalThatAppearsMeanwhileIsNotMadeAnew(t *testing.T) {
	dir := newFolder(t)
	lock, err := takeFolder(dir)
	must(t, err)
	b := build(t)
	b.put(t, dir)
	e, err := openLocked(Options{Dir: dir, Log: zap.NewNop()}, lock)
	must(t, err)
	b.check(t, e)
	must(t, e.Close())
}

func TestAnInterruptedCreationIsMadeAnew(t *testing.T) {
	whole := newFolder(t)
	must(t, openAt(t, whole).Close())
	made := filesOf(t, whole)
	delete(made, identityFile)
	names := slices.Sorted(maps.Keys(made))
	left := files{creatingFile: ""}
	for _, name := range append([]string{creatingFile, creatingFile + temporary}, names...) {
		left[name] = made[name]
		dir := newFolder(t)
		left.put(t, dir)
		e := openAt(t, dir)
		if first, last, _ := e.Bounds(t.Context()); first != 1 || last != 0 {
			t.Errorf("with %s, bounds are %d and %d", name, first, last)
		}
		_, err := e.Append(t.Context(), [][]byte{frameOf(1)}, 0)
		must(t, err)
		must(t, e.Close())
		now := filesOf(t, dir)
		if _, there := now[creatingFile]; there || now[identityFile] != identity() {
			t.Errorf("with %s, the identity is %q after the creation", name, now[identityFile])
		}
		wantFrames(t, openAt(t, dir), 1, 1<<63)
	}
}

// A journal that has taken calls and lost its identity must not be taken for one whose creation was interrupted.
func TestACreatedJournalIsNotMadeAnew(t *testing.T) {
	dir := newFolder(t)
	e := openAt(t, dir)
	_, err := e.Append(t.Context(), [][]byte{frameOf(1)}, 0)
	must(t, err)
	must(t, e.Close())
	must(t, os.Remove(filepath.Join(dir, identityFile)))
	wantRefused(t, dir, ErrBroken, identityFile)
}

func TestACreationThatFailsIsMadeAnew(t *testing.T) {
	dir := newFolder(t)
	for n := 0; ; n++ {
		left, files := n, newFaulty(vfs.Default)
		files.set(func(op errorfs.Op) error {
			if withoutRoom(op) == nil {
				return nil
			}
			if left--; left < 0 {
				return withoutRoom(op)
			}
			return nil
		})
		e, err := Open(t.Context(), Options{Dir: dir, FS: files, Log: zap.NewNop()})
		if err == nil {
			_ = e.Close()
			t.Logf("there are %d writes", n)
			break
		}
		if n > 200 {
			t.Fatal(err)
		}
	}
	e := openAt(t, dir)
	if first, last, _ := e.Bounds(t.Context()); first != 1 || last != 0 {
		t.Errorf("bounds are %d and %d", first, last)
	}
}

func TestOpenAndCloseChangeNoFrames(t *testing.T) {
	dir := newFolder(t)
	b := build(t)
	b.put(t, dir)
	for range 2 {
		must(t, openAt(t, dir).Close())
	}
	now := built{files: filesOf(t, dir)}
	if !slices.Equal(now.segments(), b.segments()) {
		t.Errorf("the segments are %v, and were %v", now.segments(), b.segments())
	}
	for _, name := range append(b.segments(), identityFile, "log/state") {
		if now.files[name] != b.files[name] {
			t.Errorf("%s was changed", name)
		}
	}
	i := inspect(t, dir)
	if len(i.Problems) > 0 || !i.Log.Sound() {
		t.Errorf("Inspect finds %q in the folder and %q in the log", i.Problems, i.Log.Problems)
	}
	i.Close()
	b.check(t, openAt(t, dir))
}

func TestOpenEndsWithItsContext(t *testing.T) {
	dir := newFolder(t)
	must(t, openAt(t, dir).Close())
	files, released, reached := newFaulty(vfs.Default), make(chan struct{}), make(chan struct{}, 100)
	repair := files.set(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpList {
			reached <- struct{}{}
			<-released
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	if _, err := Open(ctx, Options{Dir: dir, FS: files, Log: zap.NewNop()}); !errors.Is(err, context.Canceled) { // or it never returns
		t.Errorf("Open returns %v", err)
	}
	repair()
	close(released)
	for deadline := time.Now().Add(5 * time.Minute); ; {
		e, err := Open(t.Context(), Options{Dir: dir, Log: zap.NewNop()})
		if err == nil {
			must(t, e.Close())
			return
		}
		if !errors.Is(err, ErrInUse) || time.Now().After(deadline) {
			t.Fatalf("the folder is not given back: %v", err)
		}
	}
}

func TestOpenOnAFullDiskReturnsThatError(t *testing.T) {
	p := onDisk(t)
	b := build(t)
	b.put(t, p.dir)
	free := p.fill(t)
	_, err := Open(t.Context(), p.options())
	if err == nil || !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrBroken) || strings.Contains(err.Error(), "salvage") {
		t.Errorf("Open returns %v", err)
	}
	free()
	b.check(t, p.open(t))
}

// Of a disk without a free inode, what is there can be written to, and nothing can be made.
func TestOpenWithoutAFreeInodeSaysSo(t *testing.T) {
	const room = "no space left on device; make room: df -h shows what bytes are free, df -i what inodes"
	for cause, want := range map[syscall.Errno]string{syscall.ENOSPC: room, syscall.EIO: "input/output error"} {
		t.Run(cause.Error(), func(t *testing.T) { openWithFewInodes(t, cause, want) })
	}
}

func openWithFewInodes(t *testing.T, cause error, want string) {
	b := build(t)
	for free := 0; ; free++ {
		p := &place{dir: newFolder(t), disk: newFaulty(vfs.Default)}
		b.killed.put(t, p.dir)
		var left atomic.Int64
		left.Store(int64(free))
		repair := p.disk.set(func(op errorfs.Op) error {
			if op.Kind != errorfs.OpCreate && op.Kind != errorfs.OpReuseForWrite && op.Kind != errorfs.OpMkdirAll && op.Kind != errorfs.OpLink {
				return nil
			}
			if left.Add(-1) < 0 {
				return &fs.PathError{Op: "open", Path: op.Path, Err: cause}
			}
			return nil
		})
		e, err := Open(t.Context(), p.options())
		if err == nil {
			t.Logf("it opens with %d inodes", free)
			b.check(t, e)
			repair()
			must(t, e.Close())
			return
		}
		if !errors.Is(err, cause) || errors.Is(err, ErrBroken) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("with %d inodes Open returns %v", free, err)
		}
		repair()
		b.check(t, p.open(t))
	}
}

func TestAFolderOfAnotherUserIsSaidToBe(t *testing.T) {
	for cause, want := range map[error]bool{syscall.EACCES: true, syscall.EROFS: true, syscall.ENOSPC: false} {
		err := lockFailed(&fs.PathError{Op: "open", Path: "lock", Err: cause})
		if !errors.Is(err, cause) || strings.Contains(err.Error(), "must belong to the user") != want {
			t.Errorf("got %v", err)
		}
	}
}

// The kernel may write a part of what does not fit. The frames are larger than what the log has written ahead.
func TestAWriteThatDoesNotFitIsRefused(t *testing.T) {
	p := onDisk(t)
	p.disk.set(func(op errorfs.Op) error { // as if the room were not known
		if op.Kind == errorfs.OpGetDiskUsage {
			return vfs.ErrUnsupported
		}
		return nil
	})
	e := p.open(t)
	last, err := e.Append(t.Context(), [][]byte{frameOf(1), frameOf(2)}, 0)
	must(t, err)
	free := p.fill(t)
	frames := [][]byte{make([]byte, 1000), make([]byte, 50_000), make([]byte, 50_000)}
	for range 3 {
		if _, err := e.Append(t.Context(), frames, last); !errors.Is(err, engine.ErrNoSpace) || errors.Is(err, engine.ErrFull) {
			t.Fatalf("Append returns %v", err)
		}
		wantFrames(t, e, last, 1<<63)
	}
	free()
	_, err = e.Append(t.Context(), [][]byte{frameOf(3), frameOf(4)}, last)
	must(t, err)
	wantFrames(t, e, 4, 1<<63)
	p.crash(t, e)
	wantFrames(t, p.open(t), 4, 1<<63)
}

func TestRoomIsKeptForTheRecords(t *testing.T) {
	mem := vfs.NewMem()
	e := openWith(t, Options{Dir: t.TempDir(), FS: mem, Log: zap.NewNop()})
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: reserve + 1000, TotalBytes: 1 << 30})
	_, err := e.Append(t.Context(), [][]byte{make([]byte, 1001)}, 0)
	if !errors.Is(err, engine.ErrNoSpace) || errors.Is(err, engine.ErrFull) {
		t.Errorf("Append returns %v", err)
	}
	if err := e.Writable(t.Context(), 1001); !errors.Is(err, engine.ErrNoSpace) {
		t.Errorf("Writable returns %v", err)
	}
	must(t, e.Apply(t.Context(), "vero", changesOf("vero", 1)))
	_, err = e.Append(t.Context(), [][]byte{make([]byte, 1000)}, 0)
	must(t, err)
	must(t, e.Writable(t.Context(), 1000))
}

func TestALogThatHasReachedItsLimitIsFull(t *testing.T) {
	e := openWith(t, Options{Dir: t.TempDir(), Log: zap.NewNop(), MaxBytes: 2 << 20})
	last, err := e.Append(t.Context(), [][]byte{make([]byte, 1<<20)}, 0)
	must(t, err)
	_, err = e.Append(t.Context(), [][]byte{make([]byte, 1<<20)}, last)
	if !errors.Is(err, engine.ErrFull) || errors.Is(err, engine.ErrNoSpace) {
		t.Errorf("Append returns %v", err)
	}
	if err := e.Writable(t.Context(), 1<<20); !errors.Is(err, engine.ErrFull) {
		t.Errorf("Writable returns %v", err)
	}
	must(t, e.Trim(t.Context(), last+1))
	_, err = e.Append(t.Context(), [][]byte{make([]byte, 1<<20)}, last)
	must(t, err)
}

func TestASalvagedJournalCanBeOpened(t *testing.T) {
	dir := newFolder(t)
	target, err := CreateTarget(dir, 5)
	must(t, err)
	must(t, target.Frame(5, frameOf(5)))
	if _, err := Open(t.Context(), Options{Dir: dir, Log: zap.NewNop()}); !errors.Is(err, ErrBroken) {
		t.Errorf("a target that is not finished opens: %v", err)
	}
	must(t, target.Frame(7, frameOf(7)))
	must(t, target.Apply(t.Context(), "vero", changesOf("vero", 1)))
	must(t, target.Finish(10))
	e := openAt(t, dir)
	if first, last, _ := e.Bounds(t.Context()); first != 5 || last != 9 {
		t.Errorf("bounds are %d and %d", first, last)
	}
	r := e.Reader(1)
	defer r.Close()
	for _, seq := range []uint64{5, 7} {
		f, err := r.Next(t.Context())
		if err != nil || f.Seq != seq || !bytes.Equal(f.Data, frameOf(seq)) {
			t.Errorf("want frame %d, got %d, %v", seq, f.Seq, err)
		}
	}
	if applied(t, e, "vero") != 1 {
		t.Error("the record is missing")
	}
	must(t, e.Close())
	if _, err := CreateTarget(dir, 1); err == nil {
		t.Error("a journal is written over")
	}
}
