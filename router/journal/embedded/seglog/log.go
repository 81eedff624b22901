// Package seglog is a durable log of numbered frames in segment files. What was acknowledged is never written again: after a
// crash or a failed write the log goes on in a new segment, which says where the one before really ends. Damage costs the
// frames that it hits, and they are counted.
package seglog

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

// Options say how a log is kept. The zero value is usable.
type Options struct {
	// SegmentBytes is the size from which on a segment is full. Default: 16 MiB.
	SegmentBytes int64
	// FS holds the log. Default: the system's files.
	FS vfs.FS
	// Now gives the time of findings. Default: time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = 16 << 20
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Log is a log in one folder. Append belongs to one goroutine; everything else is safe for concurrent use.
type Log struct {
	dir      string
	options  Options
	readOnly bool
	findings []engine.Finding
	// stateless means that the state file is written later.
	stateless bool

	// The locks are taken in this order. Only mu is needed to read, and it is never held during a call to the file system.

	trimming  sync.Mutex // is held by Trim and Backup; guards doomed
	appending sync.Mutex // is held by Append; guards active and buf
	changing  sync.Mutex // is held while segments come or go and the state file is written
	mu        sync.RWMutex

	doomed []string  // files that could not be removed yet
	active *appender // nil: the next Append makes a segment
	buf    []byte    // the records that Append writes

	segments   []*segment // in order; never modified in place
	last, mark uint64

	first  atomic.Uint64 // the first sequence that is kept
	closed atomic.Bool
}

// segment is a file of the log. Log.mu guards what changes.
type segment struct {
	first uint64
	path  string
	key   key

	last  uint64  // first-1 when it holds no frame
	end   int64   // where the frames end; what stands behind was not acknowledged
	size  int64   // of the file, without zeros behind the records
	index []place // nil when the file has it
}

func (s *segment) empty() bool { return s.end <= dataStart }

var errReadOnly = errors.New("the log was opened for reading")

// Bounds returns the sequences of the first and the last frame. A log that was emptied has first = last+1; one that never held
// a frame has 1 and 0.
func (l *Log) Bounds() (first, last uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.first.Load(), l.last
}

// Mark returns the highest mark that was given, or was found when the log was opened.
func (l *Log) Mark() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mark
}

// raiseMark returns the highest mark, which is at least this one.
func (l *Log) raiseMark(mark uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mark = max(l.mark, mark)
	return l.mark
}

// Size returns the bytes of all segments, and how many frames and segments there are.
func (l *Log) Size() (bytes int64, frames uint64, segments int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, s := range l.segments {
		bytes += s.size
	}
	return bytes, l.last + 1 - l.first.Load(), len(l.segments)
}

// Findings returns what Open found and went on from.
func (l *Log) Findings() []engine.Finding { return slices.Clone(l.findings) }

// Close closes the log. What was acknowledged is safe already. Readers return engine.ErrClosed from now on; they are closed by
// those who use them.
func (l *Log) Close() error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if l.closed.Swap(true) || l.active == nil {
		return nil
	}
	active := l.active
	l.active = nil
	return active.close()
}

func (l *Log) writable() error {
	switch {
	case l.closed.Load():
		return engine.ErrClosed
	case l.readOnly:
		return errReadOnly
	}
	return nil
}

// list returns the segments, oldest first.
func (l *Log) list() []*segment {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.segments
}

// locate returns a copy of the segment that holds the frame at seq or the first behind it, and reports whether there is one.
// kept reports whether the log still has the segment that begins with current.
func (l *Log) locate(seq, current uint64) (s segment, found, kept bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].last >= seq })
	for i < len(l.segments) && l.segments[i].empty() {
		i++
	}
	_, kept = slices.BinarySearchFunc(l.segments, current, func(s *segment, first uint64) int {
		switch {
		case s.first < first:
			return -1
		case s.first > first:
			return 1
		}
		return 0
	})
	if i == len(l.segments) {
		return s, false, kept
	}
	return *l.segments[i], true, kept
}

// stateOf returns the state of a log that has these segments.
func (l *Log) stateOf(segments []*segment) state {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := state{first: l.last + 1, mark: l.mark}
	if len(segments) > 0 {
		s.first, s.newest = segments[0].first, segments[len(segments)-1].first
	}
	return s
}

// saveState makes the state file say that the log has these segments. After an error it may say it, or what it said before.
func (l *Log) saveState(segments []*segment) error {
	if l.stateless {
		return nil
	}
	return writeState(l.options.FS, l.dir, l.stateOf(segments))
}

func writeState(files vfs.FS, dir string, s state) error {
	f, err := createFile(files, dir, stateName, s.encode())
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return f.Close()
}

// setSegments makes these the log's segments.
func (l *Log) setSegments(segments []*segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = segments
	if len(segments) > 0 {
		l.first.Store(segments[0].first)
	} else {
		l.first.Store(l.last + 1)
	}
}

// path returns the path of a file of the log.
func (l *Log) path(name string) string { return l.options.FS.PathJoin(l.dir, name) }
