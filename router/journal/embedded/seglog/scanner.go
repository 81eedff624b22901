package seglog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// kind tells what a scanner found.
type kind int

const (
	atEnd  kind = iota
	whole       // a frame
	broken      // bytes that are no frame any more
	torn        // what is left of a write that was interrupted, at the end of the file
	blank       // zeros up to the end of the file, which were written ahead of the records
	footer      // the end of a finished segment
)

// item is what stands at one place of a segment.
type item struct {
	kind kind
	// first and last are the sequences of what is there; of a footer, first is that of the next segment. Broken bytes may
	// hold no frame: first is last+1 then.
	first, last uint64
	mark        uint64
	at, size    int64
	data        []byte
	reason      string // why it is broken
}

// noLimit is the highest sequence that a scanner expects where that is not known.
const noLimit = math.MaxUint64 - 1

// chunkSize is how much is read at once. Larger payloads are read by themselves.
const chunkSize = 64 << 10

// scanner reads one segment from a place on. Behind bytes that are no record it goes on with the next record.
type scanner struct {
	file vfs.File
	path string
	key  key
	at   int64  // where the next record begins
	seq  uint64 // its sequence, unless frames are missing
	end  int64  // where the records end
	last uint64 // the highest sequence before end
	// unfinished means that end is just the end of the file: the last write may be torn, or followed by zeros or a footer.
	unfinished bool
	// from is the lowest sequence that next returns; it does not look at payloads before that.
	from uint64
	// keep makes next return the frames' data.
	keep bool

	chunk   []byte // what was read last of the file
	chunkAt int64
}

// next returns the next item, and moves behind it. After an error it can be called again.
func (s *scanner) next() (item, error) {
	for s.at < s.end {
		it, err := s.step()
		if err != nil {
			return item{}, fmt.Errorf("read %s: %w", s.path, err)
		}
		if it.kind == torn || it.kind == blank || it.kind == footer || it.last >= s.from {
			return it, nil
		}
	}
	return item{kind: atEnd, at: s.at}, nil
}

func (s *scanner) step() (item, error) {
	h, ok, err := s.header(s.at)
	switch {
	case err != nil:
		return item{}, err
	case !ok:
		return s.noRecord()
	case h.footer:
		it := s.rest(footer, s.end)
		it.first = h.seq
		return it, nil
	case s.at+h.size() > s.end:
		return s.rest(torn, s.end), nil
	}
	return s.record(h)
}

// rest makes an item of what is left up to a place, behind which are zeros only, and moves to the end.
func (s *scanner) rest(k kind, end int64) item {
	it := item{kind: k, at: s.at, size: end - s.at}
	s.at = s.end
	return it
}

// header returns the sound header at a place, if there is one that can stand there.
func (s *scanner) header(at int64) (h recordHeader, ok bool, err error) {
	b, err := s.peek(at, recordHead)
	if err != nil {
		return h, false, err
	}
	h, ok = s.key.parse(b)
	switch {
	case !ok || h.seq < s.seq:
		return h, false, nil
	case s.unfinished:
		return h, h.seq <= s.last || h.footer, nil
	}
	return h, h.seq <= s.last && !h.footer && at+h.size() <= s.end, nil
}

func (s *scanner) record(h recordHeader) (item, error) {
	it := item{kind: whole, first: h.seq, last: h.seq, mark: h.mark, at: s.at, size: h.size()}
	if h.seq >= s.from {
		data, sum, err := s.payload(h)
		if err != nil {
			return it, err
		}
		if it.data = data; sum != h.sum {
			if is, end, err := s.isTorn(h, sum); err != nil {
				return it, err
			} else if is {
				return s.rest(torn, end), nil
			}
			it.kind, it.data, it.reason = broken, nil, "the payload's checksum differs"
		}
	}
	s.at, s.seq = s.at+it.size, h.seq+1
	return it, nil
}

// payload reads the payload of the record at s.at, and returns its checksum, which is h.sum where it is as it was written.
func (s *scanner) payload(h recordHeader) (data []byte, sum uint32, err error) {
	if s.keep {
		data = make([]byte, h.length)
	}
	at, done, sum := s.at+recordHead, 0, s.key.seed
	if s.keep && h.length > chunkSize {
		done, err = s.file.ReadAt(data, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
		if done < h.length {
			return nil, ^h.sum, nil // the file was cut
		}
		return data, s.key.sum(data), nil
	}
	for done < h.length {
		b, err := s.peek(at+int64(done), min(h.length-done, chunkSize))
		if err != nil {
			return nil, 0, err
		}
		if len(b) == 0 {
			return nil, ^h.sum, nil // the file was cut
		}
		b = b[:min(len(b), h.length-done)]
		sum = crc32.Update(sum, castagnoli, b)
		if s.keep {
			copy(data[done:], b)
		}
		done += len(b)
	}
	return data, sum, nil
}

// noRecord passes over bytes where a record should begin.
func (s *scanner) noRecord() (item, error) {
	next, seq, err := s.resume(s.at + 1)
	if err != nil {
		return item{}, err
	}
	if s.unfinished && next == s.end {
		k, end, err := s.tail()
		if err != nil {
			return item{}, err
		}
		if k != broken {
			return s.rest(k, end), nil
		}
		next = end
	}
	it := item{kind: broken, first: max(s.seq, s.from), at: s.at, size: next - s.at, reason: "no record begins here"}
	// However the sequences go on: so many bytes hold so many frames at most.
	it.last = min(seq-1, s.seq+uint64(it.size/recordHead))
	s.at, s.seq = next, seq
	return it, nil
}

// resume returns where the next record begins and its sequence. Where no other comes that is the end, and the sequence behind
// the last.
func (s *scanner) resume(at int64) (next int64, seq uint64, err error) {
	magic := binary.LittleEndian.AppendUint32(nil, s.key.magic)
	for at+recordHead <= s.end {
		b, err := s.peek(at, recordHead)
		if err != nil {
			return 0, 0, err
		}
		if len(b) < recordHead {
			break // the file was cut
		}
		skip := bytes.Index(b, magic)
		if skip < 0 {
			at += int64(len(b) - len(magic) + 1)
			continue
		}
		at += int64(skip)
		h, ok, err := s.header(at)
		if err != nil {
			return 0, 0, err
		}
		if ok {
			return at, h.seq, nil
		}
		at++
	}
	if s.unfinished {
		return s.end, s.seq + 1, nil // what is there may have been acknowledged, and was one frame at least
	}
	return s.end, max(s.seq, s.last+1), nil
}

// peek returns the file's bytes from a place on: at least n, or as many as there are before the end.
func (s *scanner) peek(at int64, n int) ([]byte, error) {
	if from := at - s.chunkAt; from >= 0 && from+int64(n) <= int64(len(s.chunk)) {
		return s.chunk[from:], nil
	}
	if s.chunk == nil {
		s.chunk = make([]byte, chunkSize)
	}
	size := max(0, min(chunkSize, s.end-at))
	got, err := s.file.ReadAt(s.chunk[:size], at)
	s.chunk, s.chunkAt = s.chunk[:got], at
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return s.chunk, nil
}
