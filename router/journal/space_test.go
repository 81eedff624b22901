package journal

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A disk of its own that fills: needs the right to mount.
func TestAFullDiskRefusesCallsAndServiceComesBackWithRoom(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("aka", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	options := testOptions(t)
	options.Dir = dir
	j := open(t, options)
	ballast := dir + "/.ballast"
	must(t, os.WriteFile(ballast, make([]byte, 12<<20), 0o600))
	var accepted []string
	var err error
	for n := 0; err == nil; n++ {
		e := entry("u", n)
		e.JSON = []byte(`{"pad":"` + strings.Repeat("x", 100<<10) + `"}`)
		if _, err = j.Append(t.Context(), []Entry{e}); err == nil {
			accepted = append(accepted, e.MessageID)
		}
	}
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrFull) {
		t.Fatalf("got %v", err)
	}
	if err := j.Writable(t.Context()); err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Fatalf("writable: %v", err)
	}
	if n := testutil.ToFloat64(j.metrics.failed); n > 0 {
		t.Errorf("%v writes were tried on a full disk", n)
	}
	must(t, os.Remove(ballast))
	again := entry("again", 1)
	for deadline := time.Now().Add(5 * time.Minute); ; {
		if _, err = j.Append(t.Context(), []Entry{again}); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	accepted = append(accepted, again.MessageID)
	wantWritable(t, j, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	held := map[string]int{}
	r := j.ReadFrom(1)
	for _, end := j.Head(); r.next < end.Seq; {
		f, err := r.Next(ctx)
		must(t, err)
		for _, e := range f.Entries {
			held[e.MessageID]++
		}
	}
	for _, id := range accepted {
		if held[id] != 1 {
			t.Errorf("%s was accepted and is there %d times", id, held[id])
		}
	}
}
