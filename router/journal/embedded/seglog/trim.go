package seglog

import (
	"errors"
	"fmt"
	"io/fs"
)

// Trim removes the segments that hold frames below a sequence only, and saves the mark before that. It keeps the last segment,
// unless all frames are below, and it has grown to more than a quarter of a full one. After an error it can be called again.
func (l *Log) Trim(below, mark uint64) error {
	l.trimming.Lock()
	defer l.trimming.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	l.raiseMark(mark)
	n, all := l.removable(below)
	if all {
		l.appending.Lock() // the last segment is the one that Append writes
		defer l.appending.Unlock()
	}
	if n > 0 {
		if err := l.remove(below, all); err != nil {
			return err
		}
	}
	return l.removeDoomed()
}

// removable returns how many segments may go, and whether that is all of them.
func (l *Log) removable(below uint64) (n int, all bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for n < len(l.segments) && l.segments[n].last < below {
		n++
	}
	if n > 0 && n == len(l.segments) {
		if all = l.segments[n-1].end > l.options.SegmentBytes/4; !all {
			n--
		}
	}
	return n, all
}

// remove takes the segments that may go out of the log, and leaves their files to removeDoomed. The last one goes only when all
// is set; the caller holds appending then.
func (l *Log) remove(below uint64, all bool) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	n, stillAll := l.removable(below)
	switch {
	case stillAll && all:
		// Also when the state file cannot be saved: it may say that the next frame begins a new segment.
		l.retire()
	case stillAll:
		n-- // Append has filled it in the meantime
	}
	segments := l.list()
	if err := l.saveState(segments[n:]); err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	for _, s := range segments[:n] {
		l.doomed = append(l.doomed, s.path)
	}
	l.setSegments(segments[n:])
	return nil
}

// retire closes the active segment. The next Append makes a new one.
func (l *Log) retire() {
	if l.active != nil {
		_ = l.active.close()
		l.active = nil
	}
}

// removeDoomed removes files; those that cannot be removed now are tried again by the next Trim.
func (l *Log) removeDoomed() (err error) {
	left := l.doomed[:0]
	for _, path := range l.doomed {
		if e := l.options.FS.Remove(path); e != nil && !errors.Is(e, fs.ErrNotExist) {
			left, err = append(left, path), fmt.Errorf("trim: remove %s: %w", path, e)
		}
	}
	l.doomed = left
	return err
}
