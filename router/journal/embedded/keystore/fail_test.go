package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"aka/router/journal/embedded/keystore"
	"aka/router/journal/engine"
)

func TestAFailedWriteFailsTheStore(t *testing.T) {
	faults := map[string]func(errorfs.Op) error{
		"write of the WAL":       at(syscall.EIO, ".log", errorfs.OpFileWrite),
		"sync of the WAL":        at(syscall.EIO, ".log", errorfs.OpFileSync, errorfs.OpFileSyncData),
		"creation of a WAL":      at(syscall.EMFILE, ".log", errorfs.OpCreate),
		"close of the WAL":       at(syscall.EIO, ".log", errorfs.OpFileClose),
		"creation of a manifest": at(syscall.EIO, "MANIFEST", errorfs.OpCreate),
		"write of the manifest":  at(syscall.EIO, "MANIFEST", errorfs.OpFileWrite),
		"sync of the manifest":   at(syscall.EIO, "MANIFEST", errorfs.OpFileSync),
		"creation of the marker": at(syscall.EIO, "marker", errorfs.OpCreate),
		"sync of the folder": func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileSync && op.Path == folder {
				return syscall.EIO
			}
			return nil
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			d := newDisk()
			o, _ := observed(d)
			o = o.Adjusted(func(p *pebble.Options) { p.MaxManifestFileSize = 1 }) // a new one for every flush
			var calls atomic.Int32
			var s *keystore.Store
			o.OnFailed = func(err error) {
				calls.Add(1)
				select {
				case <-s.Failed():
					t.Error("Failed is closed before OnFailed is called")
				default:
				}
				if !errors.Is(s.Err(), err) {
					t.Errorf("Err returns %v, and OnFailed gets %v", s.Err(), err)
				}
			}
			s = openWith(t, folder, o)
			apply(t, s, "vero", set("a", "1"))
			d.breakWith(fault)
			done := applying(context.Background(), s, "vero", set("a", "2"), set("b", "2"))
			go func() { _ = s.Rotate() }() // may never return
			<-s.Failed()
			want(t, "calls of OnFailed", calls.Load(), 1)
			r := <-done
			if r.err != nil && !errors.Is(r.err, engine.ErrFailed) { // and ErrUnsure, if it had got its number
				t.Errorf("the Apply under way returns %v", r.err)
			}
			checkFailed(t, s)
			checkKept(t, d, r)
			want(t, "calls of OnFailed", calls.Load(), 1)
		})
	}
}

// checkFailed checks a store that has failed.
func checkFailed(t *testing.T, s *keystore.Store) {
	t.Helper()
	if _, err := s.Apply(context.Background(), "vero", []engine.Change{set("c", "3")}); !errors.Is(err, engine.ErrFailed) || errors.Is(err, engine.ErrUnsure) {
		t.Errorf("Apply after the failure returns %v", err)
	}
	if s.Err() == nil {
		t.Error("Err returns nil")
	}
	if value, err := s.Get(context.Background(), "vero", []byte("a")); err != nil {
		t.Errorf("Get returns %q, %v", value, err)
	}
	if err := s.Checkpoint(context.Background(), "copy", func() error { return nil }); err == nil {
		t.Error("Checkpoint returns nil")
	}
	if err := s.Close(); err == nil {
		t.Error("Close returns nil")
	}
}

// checkKept checks what is there after the next start: both records of the second Apply or none, and both if it was acknowledged.
func checkKept(t *testing.T, d *disk, second result) {
	t.Helper()
	after := open(t, d.afterPowerCut(), folder)
	got := fmt.Sprint(scan(t, after, "vero", nil, nil))
	if got != "[a=2 b=2]" && (got != "[a=1]" || second.err == nil) {
		t.Errorf("records are %s after an Apply that returned %v", got, second)
	}
}

func TestWaitingAppliesEndWithTheStore(t *testing.T) {
	d := newDisk()
	o, _ := observed(d)
	s := openWith(t, folder, o)
	d.breakWith(full)
	var waiting []<-chan result
	for range 5 {
		waiting = append(waiting, applying(context.Background(), s, "vero", set("a", "1")))
	}
	d.waitForTries(3)
	d.breakWith(at(syscall.EIO, ".log", errorfs.OpFileWrite))
	for _, done := range waiting {
		if r := <-done; !errors.Is(r.err, engine.ErrFailed) {
			t.Errorf("Apply returns %v", r.err)
		}
	}
}

func TestAFailedFlushIsTriedAgain(t *testing.T) {
	for _, name := range []string{"creation", "sync", "sync without room"} {
		t.Run(name, func(t *testing.T) {
			fault := map[string]func(errorfs.Op) error{
				"creation":          at(syscall.EIO, ".sst", errorfs.OpCreate),
				"sync":              at(syscall.EIO, ".sst", errorfs.OpFileSync, errorfs.OpFileSyncData),
				"sync without room": at(syscall.ENOSPC, ".sst", errorfs.OpFileSync, errorfs.OpFileSyncData),
			}[name]
			d := newDisk()
			o, logs := observed(d)
			s := openWith(t, folder, o)
			apply(t, s, "vero", set("a", "1"))
			d.breakWith(fault)
			if err := s.Rotate(); err != nil {
				t.Fatal(err)
			}
			d.waitForTries(4)
			want(t, "number", apply(t, s, "vero", set("b", "2")), 2)
			d.breakWith(nil)
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			want(t, "lines", logs.FilterMessage("background work on records failed").Len(), 1)
			after := open(t, d.afterPowerCut(), folder)
			want(t, "records", scan(t, after, "vero", nil, nil), []string{"a=1", "b=2"})
		})
	}
}

func TestFlushesThatFailAgainAndAgainFailTheStore(t *testing.T) {
	d := newDisk()
	o, _ := observed(d)
	s := openWith(t, folder, o)
	apply(t, s, "vero", set("a", "1"))
	d.breakWith(at(syscall.EIO, ".sst", errorfs.OpCreate))
	go func() { _ = s.Rotate() }()
	<-s.Failed()
	if !errors.Is(s.Err(), syscall.EIO) {
		t.Errorf("Err returns %v", s.Err())
	}
}
