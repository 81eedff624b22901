package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"aka/router/journal/embedded/keystore"
	"aka/router/journal/engine"
)

// disk is one whose operations can be made to fail.
type disk struct {
	vfs.FS
	mem *vfs.MemFS

	mu    sync.Mutex
	fault func(op errorfs.Op) error // nil is none
	room  int                       // bytes that can be written before the disk is full; negative is no bound
	tries chan struct{}             // gets something for each operation that failed, as long as it takes it
}

func newDisk() *disk { return diskOn(vfs.NewCrashableMem()) }

func diskOn(mem *vfs.MemFS) *disk {
	d := &disk{mem: mem, room: -1, tries: make(chan struct{}, 1)}
	d.FS = errorfs.Wrap(d.mem, errorfs.InjectorFunc(d.inject))
	return d
}

func (d *disk) inject(op errorfs.Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault == nil {
		return nil
	}
	err := d.fault(op)
	if err != nil {
		d.tried()
	}
	return err
}

func (d *disk) tried() {
	select {
	case d.tries <- struct{}{}:
	default:
	}
}

// breakWith lets operations fail; nil repairs the disk.
func (d *disk) breakWith(fault func(op errorfs.Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = fault
}

// leave sets how many bytes can still be written.
func (d *disk) leave(room int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = room
}

// waitForTries waits until n operations have failed.
func (d *disk) waitForTries(n int) {
	for range n {
		<-d.tries
	}
}

func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d, name: name}, nil
}

// diskFile writes as much as there is room for.
type diskFile struct {
	vfs.File
	disk *disk
	name string
}

func (f *diskFile) Close() error {
	return errors.Join(f.disk.inject(errorfs.Op{Kind: errorfs.OpFileClose, Path: f.name}), f.File.Close())
}

func (f *diskFile) Write(p []byte) (int, error) {
	f.disk.mu.Lock()
	n := len(p)
	if f.disk.room >= 0 {
		n = min(n, f.disk.room)
		f.disk.room -= n
	}
	if n < len(p) {
		f.disk.tried()
	}
	f.disk.mu.Unlock()
	m, err := f.File.Write(p[:n])
	if err == nil && n < len(p) {
		err = syscall.ENOSPC
	}
	return m, err
}

// afterPowerCut returns the disk as it is after a power cut now, where nothing is there that was not synced.
func (d *disk) afterPowerCut() *vfs.MemFS { return d.mem.CrashClone(vfs.CrashCloneCfg{}) }

// at returns a fault: the error for operations of a kind on files whose name has part in it.
func at(err error, part string, kinds ...errorfs.OpKind) func(errorfs.Op) error {
	return func(op errorfs.Op) error {
		for _, kind := range kinds {
			if op.Kind == kind && strings.Contains(op.Path, part) {
				return err
			}
		}
		return nil
	}
}

func full(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpRemove, errorfs.OpRemoveAll, errorfs.OpFileClose, errorfs.OpLock:
		return nil
	}
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		return syscall.ENOSPC
	}
	return nil
}

// observed returns options for a disk whose waits are short, and what is logged.
func observed(d *disk) (keystore.Options, *observer.ObservedLogs) {
	core, logs := observer.New(zap.DebugLevel)
	return keystore.Options{FS: d, Log: zap.New(core), CloseWait: time.Second}.Polling(time.Millisecond), logs
}

// result is what an Apply returned.
type result struct {
	number uint64
	err    error
}

// applying runs an Apply aside.
func applying(ctx context.Context, s *keystore.Store, destination string, changes ...engine.Change) <-chan result {
	done := make(chan result, 1)
	go func() {
		number, err := s.Apply(ctx, destination, changes)
		done <- result{number, err}
	}()
	return done
}

func TestApplyWaitsForRoom(t *testing.T) {
	faults := map[string]func(errorfs.Op) error{
		"everything":        full,
		"write of the WAL":  at(syscall.ENOSPC, ".log", errorfs.OpFileWrite),
		"quota":             at(syscall.EDQUOT, ".log", errorfs.OpFileWrite),
		"sync of the WAL":   at(syscall.ENOSPC, ".log", errorfs.OpFileSync, errorfs.OpFileSyncData),
		"sync of the quota": at(syscall.EDQUOT, ".log", errorfs.OpFileSync, errorfs.OpFileSyncData),
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			d := newDisk()
			o, logs := observed(d)
			s := openWith(t, folder, o)
			apply(t, s, "vero", set("a", "1"))
			d.breakWith(fault)
			done := applying(context.Background(), s, "vero", set("a", "2"), set("b", "2"))
			d.waitForTries(5)
			if !s.Waiting() {
				t.Error("Waiting reports false")
			}
			want(t, "number", s.Number(), 1)
			select {
			case r := <-done:
				t.Fatalf("returned %v without room", r)
			default:
			}
			d.breakWith(nil)
			want(t, "result", <-done, result{number: 2})
			after := open(t, d.afterPowerCut(), folder)
			want(t, "records", scan(t, after, "vero", nil, nil), []string{"a=2", "b=2"})
			want(t, "number", after.Number(), 2)
			want(t, "warnings", logs.FilterMessage("disk is full, records wait for room").Len(), 1)
			want(t, "lines about room", logs.FilterMessage("disk has room again for records").Len(), 1)
		})
	}
}

func TestFlushAndRotationWaitForRoom(t *testing.T) {
	d := newDisk()
	o, _ := observed(d)
	s := openWith(t, folder, o)
	apply(t, s, "vero", set("a", "1"))
	d.breakWith(full)
	done := make(chan error, 1)
	go func() { done <- s.Flush() }()
	d.waitForTries(5)
	d.breakWith(nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want(t, "next number", apply(t, s, "vero", set("b", "2")), 2)
	after := open(t, d.afterPowerCut(), folder)
	want(t, "records", scan(t, after, "vero", nil, nil), []string{"a=1", "b=2"})
}

func TestAWriteGoesOnWhereTheDiskBecameFull(t *testing.T) {
	d := newDisk()
	o, _ := observed(d)
	s := openWith(t, folder, o)
	for i := range 5 {
		d.leave(7)
		done := applying(context.Background(), s, "vero", set(fmt.Sprint(i), strings.Repeat("x", 1000)))
		d.waitForTries(2)
		d.leave(100)
		d.waitForTries(2)
		d.leave(-1)
		want(t, "error", (<-done).err, nil)
	}
	after := open(t, d.afterPowerCut(), folder)
	want(t, "number", after.Number(), 5)
	want(t, "records", len(scan(t, after, "vero", nil, nil)), 5)
}

// forgetful is a file system that drops what a sync without room could not write, as Linux does, and calls the next sync a
// success.
type forgetful struct {
	*disk
	syncs int // that fail
}

func (f *forgetful) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.disk.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return file, err
	}
	return &forgetfulFile{File: file, fs: f}, nil
}

type forgetfulFile struct {
	vfs.File
	fs               *forgetful
	written, dropped int64
}

func (f *forgetfulFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.written += int64(n)
	return n, err
}

func (f *forgetfulFile) SyncData() error {
	if f.fs.syncs == 0 {
		f.dropped = f.written
		return f.File.SyncData()
	}
	f.fs.syncs--
	if _, err := f.WriteAt(make([]byte, f.written-f.dropped), f.dropped); err != nil {
		return err
	}
	return syscall.ENOSPC
}

func TestASyncWithoutRoomLosesNothing(t *testing.T) {
	d := newDisk()
	f := &forgetful{disk: d}
	s := openWith(t, folder, keystore.Options{FS: f}.Polling(time.Millisecond))
	apply(t, s, "vero", set("a", "1"))
	f.syncs = 3 // of the WAL, which has one user at a time
	apply(t, s, "vero", set("b", "2"))
	apply(t, s, "vero", set("c", "3"))
	after := open(t, d.afterPowerCut(), folder)
	want(t, "records", scan(t, after, "vero", nil, nil), []string{"a=1", "b=2", "c=3"})
}

func TestApplyGivesUpWithItsContext(t *testing.T) {
	d := newDisk()
	o, _ := observed(d)
	s := openWith(t, folder, o)
	d.breakWith(full)
	ctx, cancel := context.WithCancel(context.Background())
	first := applying(ctx, s, "vero", set("a", "first"), set("b", "first"))
	d.waitForTries(3)
	cancel()
	if r := <-first; !errors.Is(r.err, engine.ErrUnsure) || !errors.Is(r.err, context.Canceled) {
		t.Errorf("Apply returns %v", r)
	}
	second := applying(context.Background(), s, "vero", set("a", "second"))
	d.breakWith(nil)
	want(t, "error of the second", (<-second).err, nil)
	want(t, "records", scan(t, s, "vero", nil, nil), []string{"a=second", "b=first"})
	if _, err := s.Apply(ctx, "vero", []engine.Change{set("a", "third")}); !errors.Is(err, engine.ErrUnsure) {
		t.Errorf("Apply with a context that has ended returns %v", err)
	}
}

func TestOpenOnAFullDiskSaysSo(t *testing.T) {
	faults := map[string]func(errorfs.Op) error{
		"everything": full,
		"tables":     at(syscall.ENOSPC, ".sst", errorfs.OpCreate),
		"sync":       at(syscall.ENOSPC, ".sst", errorfs.OpFileSync, errorfs.OpFileSyncData),
		"WAL":        at(syscall.ENOSPC, ".log", errorfs.OpCreate),
		"manifest":   at(syscall.ENOSPC, "MANIFEST", errorfs.OpCreate, errorfs.OpFileWrite),
		"marker":     at(syscall.ENOSPC, "marker", errorfs.OpCreate),
		"options":    at(syscall.ENOSPC, "dbtmp", errorfs.OpFileWrite),
		"inodes":     at(syscall.ENOSPC, "", errorfs.OpCreate),
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			d := newDisk()
			o, _ := observed(d)
			o.OnFailed = func(err error) { t.Errorf("OnFailed is called with %v", err) }
			s := openWith(t, folder, o)
			apply(t, s, "vero", set("a", "1"))
			d = diskOn(d.afterPowerCut())
			o.FS = d
			d.breakWith(fault)
			if _, err := keystore.Open(folder, o); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("Open without room returns %v", err)
			}
			d.breakWith(nil)
			want(t, "records later", scan(t, openWith(t, folder, o), "vero", nil, nil), []string{"a=1"})
		})
	}
}

func TestANewStoreOnAFullDiskSaysSo(t *testing.T) {
	d := newDisk()
	o, _ := observed(d)
	for n := 1; ; n++ {
		left := n
		d.breakWith(func(op errorfs.Op) error {
			if full(op) == nil {
				return nil
			}
			left--
			if left < 0 {
				return syscall.ENOSPC
			}
			return nil
		})
		s, err := keystore.Open(folder, o)
		if err == nil {
			_ = s.Close()
			t.Logf("there were %d writes", n)
			return
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("without room after %d writes, Open returns %v", n, err)
		}
	}
}

func TestCloseOnAFullDiskReturns(t *testing.T) {
	faults := map[string]func(errorfs.Op) error{
		"write of the WAL":      full,
		"creation of a WAL":     at(syscall.ENOSPC, ".log", errorfs.OpCreate),
		"creation of a table":   at(syscall.ENOSPC, ".sst", errorfs.OpCreate),
		"write of the manifest": at(syscall.ENOSPC, "MANIFEST", errorfs.OpFileWrite),
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			d := newDisk()
			o, _ := observed(d)
			o.OnFailed = func(err error) { t.Errorf("OnFailed is called with %v", err) }
			s := openWith(t, folder, o)
			apply(t, s, "vero", set("a", "1"))
			d.breakWith(fault)
			go func() { _ = s.Rotate() }() // may never return
			d.waitForTries(3)
			ctx, cancel := context.WithCancel(context.Background())
			done := applying(ctx, s, "vero", set("a", "2"))
			began := time.Now()
			t.Logf("Close returns %v after %s", s.Close(), time.Since(began).Round(time.Millisecond))
			cancel()
			<-done
			if _, err := s.Apply(context.Background(), "vero", nil); !errors.Is(err, engine.ErrClosed) {
				t.Errorf("Apply after Close returns %v", err)
			}
			d.breakWith(nil)
			got := fmt.Sprint(scan(t, openWith(t, folder, o), "vero", nil, nil))
			if got != "[a=1]" && got != "[a=2]" {
				t.Errorf("records are %s", got)
			}
		})
	}
}
