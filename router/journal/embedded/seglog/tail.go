package seglog

import "bytes"

// At the end of a file that was not finished, a scanner tells what was never acknowledged from a frame that is damaged. The last
// write may have been interrupted by a kill, and its first bytes are there; or by a power cut, and any of its sectors are. What
// is missing of it is zeros, as appender.writeAhead has left them. A record that one flipped bit explains was written whole,
// whatever zeros it holds; other damage hardly makes zeros of what was written.

const (
	// sectorSize is what a disk writes as a whole, or a part of that.
	sectorSize = 512
	// someZeros is how many zeros no record begins or ends with: the magic is in front, and the journal's frames end in a checksum.
	someZeros = 8
)

// tail reports what stands between s.at and the end of the file, where neither a record begins nor one comes behind: blank, torn,
// or broken, which is one frame at least. It returns where the zeros at the end begin.
func (s *scanner) tail() (k kind, end int64, err error) {
	first, end, err := s.written(s.at, s.end)
	if err != nil {
		return 0, 0, err
	}
	if end == s.at {
		return blank, end, nil
	}
	whole, err := s.isFlippedHeader()
	if err != nil || whole {
		return broken, end, err
	}
	if end < s.at+recordHead { // not even a header
		return torn, end, nil
	}
	if first-s.at >= min(someZeros, toSector(s.at)) { // its beginning is missing; or a bit has flipped where nothing was written
		return torn, end, nil
	}
	lacks, err := s.lacksSector(s.at, end)
	if err != nil || !lacks {
		return broken, end, err
	}
	return torn, end, nil
}

// isTorn reports whether the record at s.at, whose payload's checksum is another, was the last one and is not there as a whole.
// It returns where the zeros at the end begin.
func (s *scanner) isTorn(h recordHeader, sum uint32) (is bool, end int64, err error) {
	if !s.unfinished {
		return false, 0, nil
	}
	behind := s.at + h.size()
	if next, _, err := s.resume(behind); err != nil || next < s.end {
		return false, 0, err
	}
	lacks, err := s.lacksSector(s.at+recordHead, behind)
	if err != nil || !lacks || isFlip(h.length, h.sum^sum) {
		return false, 0, err
	}
	_, end, err = s.written(s.at, s.end)
	return true, end, err
}

// isFlippedHeader reports whether a record stands at s.at but for one flipped bit of its header.
func (s *scanner) isFlippedHeader() (bool, error) {
	b, err := s.peek(s.at, recordHead)
	if err != nil || len(b) < recordHead {
		return false, err
	}
	b = bytes.Clone(b[:recordHead])
	for bit := range 8 * recordHead {
		b[bit/8] ^= 1 << (bit % 8)
		if h, ok := s.key.parse(b); ok && s.at+h.size() <= s.end {
			_, sum, err := s.payload(h)
			return sum == h.sum, err
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	return false, nil
}

// isFlip reports whether one flipped bit of a payload changes its checksum by so much.
func isFlip(length int, change uint32) bool {
	var bits [8]uint32 // how each bit of a byte changes it, from the last byte to the first
	for i := range bits {
		bits[i] = castagnoli[1<<i]
	}
	for range length {
		for i, by := range bits {
			if by == change {
				return true
			}
			bits[i] = castagnoli[byte(by)] ^ by>>8
		}
	}
	return false
}

// lacksSector reports whether the bytes between two places were not all written: a whole sector of them is zeros, or the end.
func (s *scanner) lacksSector(from, to int64) (bool, error) {
	for at := from; at < to; {
		next := min(at+toSector(at), to)
		_, end, err := s.written(at, next)
		if err != nil {
			return false, err
		}
		if next-end >= sectorSize || next == to && (end == at || next-end >= someZeros) {
			return true, nil
		}
		at = next
	}
	return false, nil
}

// toSector returns how far it is from a place to the next sector.
func toSector(at int64) int64 { return sectorSize - at%sectorSize }

// written returns where the bytes between two places that are not zeros begin and end. Where there are none, both are from.
func (s *scanner) written(from, to int64) (first, end int64, err error) {
	first, end = from, from
	for at := from; at < to; {
		b, err := s.peek(at, 1)
		if err != nil {
			return 0, 0, err
		}
		if len(b) == 0 {
			break // the file was cut
		}
		b = b[:min(int64(len(b)), to-at)]
		if left := bytes.TrimLeft(b, "\x00"); len(left) > 0 {
			if end == from {
				first = at + int64(len(b)-len(left))
			}
			end = at + int64(len(bytes.TrimRight(b, "\x00")))
		}
		at += int64(len(b))
	}
	return first, end, nil
}
