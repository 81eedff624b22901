package seglog

import (
	"fmt"

	"aka/router/journal/engine"
)

// Writer makes a new log of frames that keep their sequences. Frames may be missing between them.
type Writer struct {
	log     *Log
	pending uint64 // the last frame that WriteFrame took
	err     error  // the log cannot be finished
}

// flushBytes is from which size on frames are written to disk.
const flushBytes = 1 << 20

// Create begins a new log in an empty folder, or a new one. first is the sequence of its first frame, which may be missing.
func Create(dir string, first uint64, o Options) (*Writer, error) {
	o = o.withDefaults()
	if first == 0 {
		return nil, fmt.Errorf("create log: the first sequence is 1")
	}
	if err := makeEmptyDir(o.FS, dir); err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	l := &Log{dir: dir, options: o, last: first - 1, stateless: true}
	l.first.Store(first)
	return &Writer{log: l, pending: first - 1}, nil
}

// WriteFrame adds a frame. Its sequence is higher than that of the frame before.
func (w *Writer) WriteFrame(seq uint64, data []byte) error {
	switch {
	case w.err != nil:
		return w.err
	case seq <= w.pending:
		return fmt.Errorf("frame %d comes behind frame %d", seq, w.pending)
	case len(data) > MaxFrame:
		return fmt.Errorf("frame of %d bytes: the longest is %d", len(data), MaxFrame)
	}
	if len(w.log.buf) >= flushBytes || !w.log.fits(recordSize(data)) {
		if err := w.flush(); err != nil {
			return err
		}
		if w.err = w.log.makeRoom(recordSize(data)); w.err != nil {
			return w.err
		}
	}
	w.log.buf = w.log.active.add(w.log.buf, seq, 0, data)
	w.pending = seq
	return nil
}

func (w *Writer) flush() error {
	if len(w.log.buf) > 0 && w.err == nil {
		w.err = w.log.commit()
	}
	return w.err
}

// Finish completes and closes the log. next is the sequence of the frame that will be appended to it first, which is behind the
// last frame that was written, and mark the log's mark. Until Finish returns nil, Open refuses the folder.
func (w *Writer) Finish(next, mark uint64) error {
	if next <= w.pending {
		return fmt.Errorf("the next frame is %d, and frame %d was written", next, w.pending)
	}
	if err := w.flush(); err != nil {
		return err
	}
	defer w.Close()
	l := w.log
	l.stateless = false
	l.raiseMark(mark)
	gone := next-1 > l.last && len(l.segments) > 0
	l.last = next - 1
	if gone {
		l.retire()
		return l.start() // an empty segment: its name says what comes next
	}
	return l.saveState(l.segments)
}

// Close closes the files of a log that is not finished.
func (w *Writer) Close() {
	w.err = engine.ErrClosed
	_ = w.log.Close()
}
