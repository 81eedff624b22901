package logging

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
)

// reader is the log's other end. It takes as many bytes as it has room for, and fails once it is broken.
type reader struct {
	mu    sync.Mutex
	moved *sync.Cond
	room  int // below 0 is without end
	err   error
	text  bytes.Buffer
}

func newReader(room int) *reader {
	r := &reader{room: room}
	r.moved = sync.NewCond(&r.mu)
	return r
}

func (r *reader) Write(p []byte) (n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n < len(p) {
		for r.room == 0 && r.err == nil {
			r.moved.Wait()
		}
		if r.err != nil && r.room <= 0 {
			return n, r.err
		}
		next := len(p) - n
		if r.room > 0 {
			next = min(next, r.room)
			r.room -= next
		}
		r.text.Write(p[n : n+next])
		n += next
	}
	return n, nil
}

// set changes how much room there is, and what fails without.
func (r *reader) set(room int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.room, r.err = room, err
	r.moved.Broadcast()
}

// take returns what came since it was taken before.
func (r *reader) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.text.Reset()
	return r.text.String()
}

func TestAReaderThatStandsStillDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader(0)
		w := NewWriter(r)
		log := New(Options{Level: "debug"}, w)
		filler := zap.String("filler", strings.Repeat("x", 1000))
		const written = 4 * maxWaiting / 1000
		for range written {
			log.Debug("call ended", filler)
		}
		dropped := int(testutil.ToFloat64(w.dropped))
		if dropped == 0 || dropped >= written {
			t.Errorf("%d of %d lines are dropped", dropped, written)
		}
		if start := time.Now(); log.Sync() == nil || time.Since(start) != patience {
			t.Errorf("Sync has waited %s", time.Since(start))
		}
		if start := time.Now(); log.Sync() == nil || time.Since(start) != 0 {
			t.Errorf("Sync has waited again, %s", time.Since(start))
		}
		r.set(-1, nil)
		synctest.Wait()
		if err := log.Sync(); err != nil {
			t.Error(err)
		}
		got := r.take()
		if n := strings.Count(got, "call ended"); n != written-dropped {
			t.Errorf("%d lines were read, %d written, %d dropped", n, written, dropped)
		}
		if n := strings.Count(got, "log lines were dropped"); n != 1 || !strings.Contains(got, fmt.Sprintf(`"count":%d,`, dropped)) {
			t.Errorf("it is said %d times that %d were dropped: %s", n, dropped, got[max(0, len(got)-300):])
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAReaderThatIsGoneDelaysNothing(t *testing.T) {
	for name, gone := range map[string]error{"gone": syscall.EPIPE, "hung up": syscall.EIO, "full": syscall.ENOSPC} {
		t.Run(name, func(t *testing.T) {
			r := newReader(0)
			r.set(0, gone)
			w := NewWriter(r)
			log := New(Options{Level: "info"}, w)
			for range 3 {
				log.Info("call ended")
				if err := log.Sync(); err != nil {
					t.Fatal(err)
				}
			}
			if dropped := testutil.ToFloat64(w.dropped); dropped != 3 {
				t.Errorf("%v lines are dropped", dropped)
			}
			// A line that goes half way does not spoil the next one.
			r.set(40, gone)
			log.Info("torn")
			_ = log.Sync()
			r.set(-1, nil)
			log.Info("whole")
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			got := strings.Split(strings.TrimSpace(r.take()), "\n")
			if len(got) != 3 || len(got[0]) != 40 || !strings.Contains(got[1], `"msg":"whole"}`) || !strings.Contains(got[2], `"count":4,`) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestNothingIsLostWhereTheReaderReads(t *testing.T) {
	r := newReader(-1)
	w := NewWriter(r)
	log := New(Options{Level: "debug"}, w)
	var all sync.WaitGroup
	const loggers, lines = 8, 200
	for i := range loggers {
		all.Go(func() {
			for j := range lines {
				log.Debug("call ended", zap.String("line", fmt.Sprintf("%d-%d", i, j)))
			}
		})
	}
	all.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got := r.take()
	if n := strings.Count(got, "\n"); n != loggers*lines {
		t.Errorf("%d lines", n)
	}
	for i := range loggers {
		before := -1
		for j := range lines {
			at := strings.Index(got, fmt.Sprintf(`"line":"%d-%d"`, i, j))
			if at <= before {
				t.Fatalf("line %d-%d is not behind the one before", i, j)
			}
			before = at
		}
	}
	log.Debug("call ended") // by somebody who has not heard of the end
	if got := r.take(); got != "" || testutil.ToFloat64(w.dropped) != 1 {
		t.Errorf("got %q", got)
	}
}

func TestWhoLogsOnlyCopies(t *testing.T) {
	w := NewWriter(io.Discard)
	line := []byte(strings.Repeat("x", 300) + "\n")
	for range 2 * maxWaiting / len(line) { // until both buffers are as large as they get
		_, _ = w.Write(line)
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = w.Write(line) }); n > 0.5 {
		t.Errorf("%v allocations", n)
	}
	_ = w.Close()
}
