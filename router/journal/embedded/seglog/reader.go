package seglog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

// Reader gives the frames of a log in order, from disk. It belongs to one goroutine.
type Reader struct {
	log *Log
	seq uint64 // of the frame that comes next
	// scan reads the segment that begins with current. It has no file until it is needed.
	scan    scanner
	current uint64
	lost    item // broken bytes whose frames are being returned
}

var _ engine.Reader = (*Reader)(nil)

// Reader returns a reader whose first frame is the one at from, or the first behind it that the log still has. It can be made
// before the log has that frame.
func (l *Log) Reader(from uint64) *Reader { return &Reader{log: l, seq: from} }

// near is how many frames ahead a reader looks for a frame without the index.
const near = 1000

// Seek makes the next frame the one at seq, or the first behind it that the log still has. A short way ahead it is cheap.
func (r *Reader) Seek(seq uint64) {
	if seq < r.seq || seq-r.seq > near {
		r.release()
	}
	r.seq, r.scan.from = seq, seq
}

// Next returns the next frame, or engine.ErrEnd when the log has none yet. A frame that cannot be read has Err set. Frames that
// were trimmed before the reader came to them are passed over. Any other error is one of the file system; Next can be called
// again after it.
func (r *Reader) Next(ctx context.Context) (engine.Frame, error) {
	for {
		if err := ctx.Err(); err != nil {
			return engine.Frame{}, err
		}
		if r.log.closed.Load() {
			return engine.Frame{}, engine.ErrClosed
		}
		if first := r.log.first.Load(); r.seq < first {
			r.release()
			r.seq = first
		}
		if r.lost.kind == broken && r.seq <= r.lost.last {
			r.seq++
			return engine.Frame{Seq: r.seq - 1, Err: r.lost.err(r.scan.path)}, nil
		}
		it, err := r.scan.next()
		if err != nil {
			return engine.Frame{}, err
		}
		switch it.kind {
		case whole:
			r.seq = it.last + 1
			return engine.Frame{Seq: it.first, Data: it.data}, nil
		case broken:
			r.lost = it
			r.seq = max(r.seq, it.first)
		default:
			if err := r.goOn(); err != nil {
				return engine.Frame{}, err
			}
		}
	}
}

// err returns the error of the frames in broken bytes.
func (it item) err(path string) error {
	return fmt.Errorf("%w: %s, %d bytes at %d: %s", engine.ErrDamaged, path, it.size, it.at, it.reason)
}

// goOn finds what comes behind the part of a segment that was read: more of it, or the next one.
func (r *Reader) goOn() error {
	if r.scan.file != nil {
		r.seq = max(r.seq, r.scan.last+1)
	}
	s, found, kept := r.log.locate(r.seq, r.current)
	switch {
	case found && r.scan.file != nil && s.first == r.current:
		r.scan.end, r.scan.last = s.end, s.last
		return nil
	case found:
		return r.open(s)
	case !kept:
		r.release() // the disk has its room back only then
	}
	return engine.ErrEnd
}

// open begins to read a segment. When it was trimmed in the meantime, nothing is open.
func (r *Reader) open(s segment) error {
	r.release()
	file, err := r.log.options.FS.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) && r.log.first.Load() > s.first {
		return nil
	}
	if err != nil {
		return err
	}
	r.current = s.first
	r.scan = scanner{
		file: file, path: s.path, key: s.key, at: dataStart, seq: s.first, end: s.end, last: s.last,
		from: r.seq, keep: true, chunk: r.scan.chunk,
	}
	if r.seq > s.first {
		r.skip(s)
	}
	return nil
}

// skip moves to the last place in the segment's index that is not behind the reader's frame.
func (r *Reader) skip(s segment) {
	index := s.index
	if index == nil {
		index = readIndex(r.scan.file, s)
	}
	i := sort.Search(len(index), func(i int) bool { return index[i].seq > r.seq })
	if i > 0 && index[i-1].at >= dataStart {
		r.scan.at, r.scan.seq = index[i-1].at, index[i-1].seq
	}
}

// readIndex returns the index in a segment's footer, or nil when there is no sound one.
func readIndex(file vfs.File, s segment) []place {
	info, err := file.Stat()
	if err != nil || info.Size() < s.end+recordHead {
		return nil
	}
	head := make([]byte, recordHead)
	if _, err := file.ReadAt(head, s.end); err != nil {
		return nil
	}
	h, ok := s.key.parse(head)
	if !ok || !h.footer || s.end+h.size() > info.Size() {
		return nil
	}
	payload := make([]byte, h.length)
	if _, err := file.ReadAt(payload, s.end+recordHead); err != nil && !errors.Is(err, io.EOF) || s.key.sum(payload) != h.sum {
		return nil
	}
	return decodeIndex(payload)
}

// Close releases the reader's file and memory. The reader can be used again.
func (r *Reader) Close() {
	r.release()
	r.scan.chunk = nil
}

// release closes the file. The memory is used for the next one.
func (r *Reader) release() {
	if r.scan.file != nil {
		_ = r.scan.file.Close()
	}
	r.scan, r.current, r.lost = scanner{chunk: r.scan.chunk[:0]}, 0, item{}
}
