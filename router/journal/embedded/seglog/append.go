package seglog

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

// appender writes to the newest segment.
type appender struct {
	file  vfs.File
	seg   *segment
	end   int64   // where the next record goes, with those that are not written yet
	last  uint64  // the last record's sequence, likewise
	index []place // likewise
	ahead int64   // up to where zeros were written ahead of the records
	small int     // how many writes in a row were small
}

// add appends a record to buf.
func (a *appender) add(buf []byte, seq, mark uint64, data []byte) []byte {
	a.index = indexed(a.index, seq, a.end)
	from := len(buf)
	buf = a.seg.key.appendRecord(buf, recordHeader{seq: seq, mark: mark}, data)
	a.end, a.last = a.end+int64(len(buf)-from), seq
	return buf
}

// indexed adds a place to an index when it is far enough from the one before.
func indexed(index []place, seq uint64, at int64) []place {
	if n := len(index); n > 0 && at-index[n-1].at < indexEvery {
		return index
	}
	return append(index, place{seq, at})
}

func recordSize(data []byte) int64 { return recordHead + int64(len(data)) }

// Append adds frames behind the one at after, and returns the sequence of the last of them once all are safe on disk. mark is a
// number of the caller that is stored with each frame; the log raises it to the highest that it knows. After an error none of
// the frames is in the log, as long as the process runs; after a crash they may be. The errors are engine.ErrFull,
// engine.ErrNotLast, engine.ErrClosed, and others that say what failed. A later Append can succeed after each of them.
func (l *Log) Append(frames [][]byte, after, mark uint64) (last uint64, err error) {
	l.appending.Lock()
	defer l.appending.Unlock()
	if err := l.writable(); err != nil {
		return 0, err
	}
	if after != l.last {
		return 0, fmt.Errorf("%w: at %d, not at %d", engine.ErrNotLast, l.last, after)
	}
	var size int64
	for _, data := range frames {
		if len(data) > MaxFrame {
			return 0, fmt.Errorf("frame of %d bytes: the longest is %d", len(data), MaxFrame)
		}
		size += recordSize(data)
	}
	if len(frames) == 0 {
		return after, nil
	}
	mark = l.raiseMark(mark)
	if err := l.makeRoom(size); err != nil {
		return 0, failure(err)
	}
	for i, data := range frames {
		l.buf = l.active.add(l.buf, after+1+uint64(i), mark, data)
	}
	if err := l.commit(); err != nil {
		return 0, failure(err)
	}
	return l.last, nil
}

// failure makes it known when there is no room.
func failure(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", engine.ErrFull, err)
	}
	return fmt.Errorf("append: %w", err)
}

// fits reports whether the active segment takes so many bytes more. An empty one takes any.
func (l *Log) fits(size int64) bool {
	return l.active != nil && (l.active.end == dataStart || l.active.end+size <= l.options.SegmentBytes)
}

// makeRoom makes a new segment when the active one does not take so many bytes. Once that was tried, the old one takes no more
// frames: the new one's file, which says where it ends, may be there.
func (l *Log) makeRoom(size int64) error {
	if l.fits(size) {
		return nil
	}
	full := l.active
	l.active = nil
	err := l.start()
	if full == nil {
		return err
	}
	if err == nil {
		l.finish(full, l.active.seg.first)
	}
	_ = full.close() // all its frames are safe
	return err
}

// close closes the file, and cuts off the zeros behind its records.
func (a *appender) close() error {
	if a.ahead > a.seg.size {
		cutFile(a.file, a.seg.size)
	}
	return a.file.Close()
}

// start makes the next segment.
func (l *Log) start() error {
	h := newHeader(l.last+1, l.Mark(), linkTo(occupied(l.list())))
	name := segmentName(h.first)
	file, err := createFile(l.options.FS, l.dir, name, h.encode())
	if err != nil {
		return err
	}
	s := &segment{first: h.first, path: l.path(name), key: h.key(), last: h.first - 1, end: dataStart, size: dataStart}
	if err := l.introduce(s); err != nil {
		_ = file.Close()
		return err
	}
	l.active = &appender{file: file, seg: s, end: s.end, last: s.last, index: make([]place, 0, l.options.SegmentBytes/indexEvery+1)}
	return nil
}

// introduce adds a segment to the log and to the state file. From then on it must be there at a start.
func (l *Log) introduce(s *segment) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	segments := append(slices.Clone(occupied(l.list())), s)
	if err := l.saveState(segments); err != nil {
		return err
	}
	l.setSegments(segments)
	return nil
}

// occupied leaves out a segment at the end that holds no frame: the next one has its name, and takes its place.
func occupied(segments []*segment) []*segment {
	if n := len(segments); n > 0 && segments[n-1].empty() {
		return segments[:n-1]
	}
	return segments
}

// linkTo returns the link to the last of some segments.
func linkTo(segments []*segment) link {
	if len(segments) == 0 {
		return link{}
	}
	s := segments[len(segments)-1]
	return link{first: s.first, last: s.last, end: s.end}
}

// commit makes the records in buf safe, and then shows them to readers. After an error the segment takes no more frames: what
// was written of them stands behind its end.
func (l *Log) commit() error {
	a, size := l.active, int64(len(l.buf))
	_, err := a.file.Write(l.buf)
	if err == nil {
		a.writeAhead(size, l.options.SegmentBytes)
		err = a.file.SyncData()
	}
	l.buf = l.buf[:0]
	if cap(l.buf) > 4<<20 {
		l.buf = nil
	}
	if err != nil {
		_ = a.file.Close()
		l.active = nil
		err = fmt.Errorf("write %s: %w", a.seg.path, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a.seg.size += size
	if err == nil {
		a.seg.end, a.seg.last, a.seg.index = a.end, a.last, a.index
		l.last = a.last
	}
	return err
}

const (
	// aheadBytes is how many zeros are written ahead of the records: a hundred single calls' worth.
	aheadBytes = 64 << 10
	// smallWrite is the size up to which a write is small: the page that it ends in is written again by the next one anyway. With
	// large ones the zeros would double what is written to the disk, and save little.
	smallWrite = 4 << 10
	// aheadAfter is after how many small writes in a row zeros are written ahead. Among many connections small writes stand
	// between large ones.
	aheadAfter = 8
)

var zeros [aheadBytes]byte

// writeAhead writes zeros behind the records, to be synced with the last write, whose size is given. The next records are
// written over them.
//
// At the end of a file, each fsync also makes the file system write its own journal, for the new size and the new block. Over the
// zeros it has the data to write and nothing else: size and blocks are safe since the zeros were synced. That takes half the time,
// and waits for no other program's fsync. Space that is only allocated (fallocate) gains less: the first write to each of its
// blocks has the file system note that the block is written now.
//
// Nothing depends on the zeros. Where there is no room for them, the file just ends with its records.
func (a *appender) writeAhead(size, segmentBytes int64) {
	if size > smallWrite {
		a.small = 0
		return
	}
	a.small++
	to := min(a.end+aheadBytes, segmentBytes)
	if a.small < aheadAfter || a.end <= a.ahead || a.end >= to {
		return
	}
	n, _ := a.file.WriteAt(zeros[:to-a.end], a.end)
	a.ahead = a.end + int64(n)
}

// finish writes the footer of a full segment. It only makes reading faster: without it, or with half of it, readers search.
func (l *Log) finish(full *appender, next uint64) {
	s := full.seg
	b := s.key.appendRecord(nil, recordHeader{footer: true, seq: next, mark: l.Mark()}, encodeIndex(full.index))
	if _, err := full.file.Write(b); err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.index, s.size = nil, s.end+int64(len(b))
}
