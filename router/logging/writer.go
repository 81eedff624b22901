package logging

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxWaiting bounds the bytes that wait for the reader. As many may be on their way to it.
	maxWaiting = 1 << 20
	// patience is how long the end of the process waits for a reader that takes nothing.
	patience = 5 * time.Second
)

var errReaderStandsStill = errors.New("the reader of the log takes nothing")

// Writer passes lines on to a reader that may be slow, stand still or be gone, as those of a pipe may. Write never waits: lines
// that there is no room for are dropped, and so are those that cannot be written; they are counted. It is safe for concurrent
// use.
//
// zap's BufferedWriteSyncer is no alternative: who logs waits for its writes, and a crash loses up to 30 seconds.
type Writer struct {
	to      io.Writer
	dropped prometheus.Counter
	// onDropped is called with how many lines were dropped, once the reader takes some again. It may be nil. It is set before the first
	// Write.
	onDropped func(lines int)

	wake chan struct{} // holds one when there is something to do

	mu         sync.Mutex
	waiting    []byte // whole lines
	spare      []byte // waiting takes turns with it
	busy       bool   // lines are being written
	unreported int    // lines that were dropped since the last report
	closed     bool
	syncs      []chan struct{} // each is closed when nothing waits
	left       time.Duration   // of the patience
}

// NewWriter returns a writer to a reader. Close ends it.
func NewWriter(to io.Writer) *Writer {
	w := &Writer{
		to: to, wake: make(chan struct{}, 1), left: patience,
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "aka", Subsystem: "log", Name: "lines_dropped_total",
			Help: "Lines that the log's reader did not take: it stood still, was gone, or its disk was full."}),
	}
	go w.pass()
	return w
}

// Write takes lines, whole, or drops them. It never fails.
func (w *Writer) Write(lines []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.waiting)+len(lines) > maxWaiting {
		w.drop(lines)
		return len(lines), nil
	}
	w.waiting = append(w.waiting, lines...)
	w.signal()
	return len(lines), nil
}

// Sync returns once all has been written that was taken. It fails when the reader takes nothing, and then does not wait again
// until the reader takes something.
func (w *Writer) Sync() error {
	w.mu.Lock()
	if !w.busy && len(w.waiting) == 0 {
		w.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	w.syncs = append(w.syncs, done)
	left := w.left
	w.mu.Unlock()

	start := time.Now()
	timeout := time.NewTimer(left)
	defer timeout.Stop()
	select {
	case <-done:
		return nil
	case <-timeout.C:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = max(0, w.left-time.Since(start))
	return errReaderStandsStill
}

// Close is Sync, and takes nothing more.
func (w *Writer) Close() error {
	err := w.Sync()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.signal()
	return err
}

func (w *Writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// drop counts the lines that are lost with some bytes.
func (w *Writer) drop(lost []byte) {
	lines := bytes.Count(lost, []byte{'\n'})
	w.unreported += lines
	w.dropped.Add(float64(lines))
}

// pass writes what waits, until the writer is closed.
func (w *Writer) pass() {
	isTorn := false // the reader has the beginning of a line only
	for range w.wake {
		for {
			lines, ok := w.take()
			if !ok {
				return
			}
			if len(lines) == 0 {
				break
			}
			var lost []byte
			var err error
			lost, isTorn, err = write(w.to, lines, isTorn)
			w.written(lost, err)
		}
	}
}

// write writes lines, the first of them not at the end of a line that is torn. It returns those that are lost.
func write(to io.Writer, lines []byte, isTorn bool) (lost []byte, torn bool, err error) {
	if isTorn {
		if _, err := to.Write([]byte{'\n'}); err != nil {
			return lines, true, err
		}
	}
	n, err := to.Write(lines)
	return lines[n:], n > 0 && lines[n-1] != '\n', err
}

// take returns what waits, which may be nothing. It returns false when none will follow.
func (w *Writer) take() (lines []byte, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = len(w.waiting) > 0
	if !w.busy {
		for _, done := range w.syncs {
			close(done)
		}
		w.syncs = nil
		return nil, !w.closed
	}
	lines, w.waiting = w.waiting, w.spare[:0]
	w.spare = lines
	return lines, true
}

// written says what became of some lines: which are lost, and why.
func (w *Writer) written(lost []byte, err error) {
	w.mu.Lock()
	w.drop(lost)
	unreported := 0
	if err == nil {
		w.left = patience
		unreported, w.unreported = w.unreported, 0
	}
	w.mu.Unlock()
	if unreported > 0 && w.onDropped != nil {
		w.onDropped(unreported)
	}
}
