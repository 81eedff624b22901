package seglog

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"aka/router/journal/engine"
)

// A segment file is named by its first sequence. All numbers are little-endian, all checksums CRC-32C.
//
//	header      magic 8, version 4, first sequence 8, salt 8, mark 8, link 24 (the segment before: its first and last
//	            sequence and where it ends; zeros where there is none), checksum 4
//	            at 0, and again at 4096: neither a flipped bit nor a lost page costs the segment
//	record      magic 4, length and kind 4, sequence 8, mark 8, checksum of the payload 4, checksum of the 28 bytes before 4,
//	            then the payload
//	footer      a record of another kind, behind the last frame: its sequence is the first of the next segment, its payload
//	            the index: sequence 8 and offset 8 of a record about every 64 KiB
//	zeros       behind the last record of a segment that is written, or whose process was killed
//
// The magic and the checksums of records depend on the salt. Bytes inside a payload are never taken for a record.
//
// The file "state" holds: magic 8, version 4, first sequence 8, first sequence of the newest segment 8 (0: the log is empty),
// mark 8, checksum 4.
const (
	formatVersion = 1

	// MaxFrame is the length of the longest frame.
	MaxFrame = 16 << 20

	segmentMagic = "aka-seg\n"
	stateMagic   = "aka-log\n"
	prefixSize   = 12 // magic and version
	sumSize      = 4

	headerSize   = prefixSize + 6*8 + sumSize
	secondHeader = 4096
	dataStart    = secondHeader + headerSize
	recordHead   = 32
	footerBit    = 1 << 31
	placeSize    = 16
	indexEvery   = 64 << 10
	stateSize    = prefixSize + 3*8 + sumSize

	segmentSuffix = ".seg"
	stateName     = "state"
	tempSuffix    = ".tmp"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// parseName returns the first sequence of the segment of that name, and reports whether it is one.
func parseName(name string) (first uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil && first > 0
}

// damaged returns an error for a file that cannot be used as it is.
func damaged(path, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", path, engine.ErrDamaged, fmt.Sprintf(format, args...))
}

// errUnsound means that the checksum of a header or of the state file differs.
var errUnsound = errors.New("unsound")

// sealed returns a block of numbers behind magic and version, with the checksum of all.
func sealed(magic string, numbers ...uint64) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(magic), formatVersion)
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// unseal is the reverse of sealed. The magic, the version's place and the checksum at the end are the same in all versions.
func unseal(b []byte, magic string, numbers ...*uint64) error {
	body := len(b) - sumSize
	if body < prefixSize || string(b[:len(magic)]) != magic ||
		crc32.Checksum(b[:body], castagnoli) != binary.LittleEndian.Uint32(b[body:]) {
		return errUnsound
	}
	if version := binary.LittleEndian.Uint32(b[len(magic):]); version != formatVersion {
		return fmt.Errorf("format version %d, and this program reads version %d", version, formatVersion)
	}
	if body != prefixSize+8*len(numbers) {
		return errUnsound
	}
	for i, n := range numbers {
		*n = binary.LittleEndian.Uint64(b[prefixSize+8*i:])
	}
	return nil
}

// header is what a segment's file says of itself.
type header struct {
	first uint64
	salt  uint64
	mark  uint64
	prev  link
}

// link names the segment before, and where it ends: what stands behind that in its file was never acknowledged. A link whose
// first is 0 names none.
type link struct {
	first, last uint64
	end         int64
}

func newHeader(first, mark uint64, prev link) header {
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // it never fails
	return header{first: first, salt: binary.LittleEndian.Uint64(salt[:]), mark: mark, prev: prev}
}

// encode returns the file's bytes up to its first record.
func (h header) encode() []byte {
	b := make([]byte, dataStart)
	copied := sealed(segmentMagic, h.first, h.salt, h.mark, h.prev.first, h.prev.last, uint64(h.prev.end))
	copy(b, copied)
	copy(b[secondHeader:], copied)
	return b
}

// decodeHeader reads the beginning of a segment's file. It returns where a copy of the header is damaged, when the other one
// is not.
func decodeHeader(b []byte) (h header, damagedAt int64, err error) {
	h, err = decodeCopy(b, 0)
	if !errors.Is(err, errUnsound) {
		if _, second := decodeCopy(b, secondHeader); err == nil && second != nil {
			return h, secondHeader, nil
		}
		return h, -1, err
	}
	h, err = decodeCopy(b, secondHeader)
	return h, 0, err
}

func decodeCopy(b []byte, at int) (h header, err error) {
	if len(b) < at+headerSize {
		return h, errUnsound
	}
	var end uint64
	err = unseal(b[at:at+headerSize], segmentMagic, &h.first, &h.salt, &h.mark, &h.prev.first, &h.prev.last, &end)
	h.prev.end = int64(end)
	return h, err
}

// state is what the state file says: the log begins with the segment named first, and the one named newest was made. Where
// newest is 0 there is no segment, and first is the sequence of the next frame.
type state struct {
	first, newest, mark uint64
}

func (s state) encode() []byte { return sealed(stateMagic, s.first, s.newest, s.mark) }

func decodeState(b []byte) (s state, err error) {
	err = unseal(b, stateMagic, &s.first, &s.newest, &s.mark)
	return s, err
}

// key makes the records of one segment, and tells them from all other bytes.
type key struct {
	magic uint32 // never 0
	seed  uint32 // of all checksums
}

func (h header) key() key {
	salt := binary.LittleEndian.AppendUint64(nil, h.salt)
	return key{magic: uint32(h.salt) | 1, seed: crc32.Checksum(salt, castagnoli)}
}

func (k key) sum(b []byte) uint32 { return crc32.Update(k.seed, castagnoli, b) }

// recordHeader is what stands before a payload.
type recordHeader struct {
	footer    bool
	length    int
	seq, mark uint64
	sum       uint32 // of the payload
}

func (h recordHeader) size() int64 { return recordHead + int64(h.length) }

// appendRecord appends a record to dst. Its length and the payload's checksum are set here.
func (k key) appendRecord(dst []byte, h recordHeader, payload []byte) []byte {
	length := uint32(len(payload))
	if h.footer {
		length |= footerBit
	}
	from := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, k.magic)
	dst = binary.LittleEndian.AppendUint32(dst, length)
	dst = binary.LittleEndian.AppendUint64(dst, h.seq)
	dst = binary.LittleEndian.AppendUint64(dst, h.mark)
	dst = binary.LittleEndian.AppendUint32(dst, k.sum(payload))
	dst = binary.LittleEndian.AppendUint32(dst, k.sum(dst[from:]))
	return append(dst, payload...)
}

// parse reads the header of a record at the front of b, and reports whether there is a sound one.
func (k key) parse(b []byte) (h recordHeader, ok bool) {
	if len(b) < recordHead || binary.LittleEndian.Uint32(b) != k.magic ||
		binary.LittleEndian.Uint32(b[recordHead-sumSize:]) != k.sum(b[:recordHead-sumSize]) {
		return h, false
	}
	length := binary.LittleEndian.Uint32(b[4:])
	h = recordHeader{
		footer: length&footerBit != 0,
		length: int(length &^ footerBit),
		seq:    binary.LittleEndian.Uint64(b[8:]),
		mark:   binary.LittleEndian.Uint64(b[16:]),
		sum:    binary.LittleEndian.Uint32(b[24:]),
	}
	return h, h.length <= MaxFrame && h.seq > 0
}

// place says where the record of a sequence begins.
type place struct {
	seq uint64
	at  int64
}

func encodeIndex(index []place) []byte {
	b := make([]byte, 0, len(index)*placeSize)
	for _, p := range index {
		b = binary.LittleEndian.AppendUint64(b, p.seq)
		b = binary.LittleEndian.AppendUint64(b, uint64(p.at))
	}
	return b
}

func decodeIndex(b []byte) []place {
	index := make([]place, 0, len(b)/placeSize)
	for ; len(b) >= placeSize; b = b[placeSize:] {
		index = append(index, place{binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint64(b[8:]))})
	}
	return index
}
