// Package codec is how the journal's bytes are put together: numbers of variable length, tagged fields, and a CRC-32C at the
// end of what is stored.
package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"time"
)

// ErrDamaged is what bytes are that fail their checks.
var ErrDamaged = errors.New("damaged frame")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// SumSize is the size of what AppendSum adds.
const SumSize = crc32.Size

// AppendSum adds a CRC-32C of data at its end.
func AppendSum(data []byte) []byte {
	return binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
}

// CutSum takes off what AppendSum has put at the end, and reports whether it is right.
func CutSum(data []byte) (body []byte, sound bool) {
	if len(data) < SumSize {
		return nil, false
	}
	body = data[:len(data)-SumSize]
	return body, crc32.Checksum(body, castagnoli) == binary.LittleEndian.Uint32(data[len(body):])
}

// AppendField adds a tagged field: the tag, the value's length, the value.
func AppendField(dst []byte, tag uint64, value []byte) []byte {
	dst = binary.AppendUvarint(dst, tag)
	return append(binary.AppendUvarint(dst, uint64(len(value))), value...)
}

// AppendTime adds a time with its nanoseconds.
func AppendTime(dst []byte, t time.Time) []byte {
	dst = binary.AppendVarint(dst, t.Unix())
	return binary.AppendUvarint(dst, uint64(t.Nanosecond()))
}

// UvarintLen is how many bytes a number takes.
func UvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// Reader reads off the front of Data. After a failure Err is set, which is an ErrDamaged, and everything reads as zero.
type Reader struct {
	Data []byte
	Err  error
}

// Varint reads a signed number.
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.Data)
	return v + int64(r.advance(n))
}

// Uvarint reads an unsigned number.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.Data)
	return v + r.advance(n)
}

// Skip passes over so many numbers.
func (r *Reader) Skip(numbers int) {
	for range numbers {
		r.Uvarint()
	}
}

// Time reads what AppendTime wrote.
func (r *Reader) Time() time.Time {
	seconds := r.Varint()
	nanos := r.Uvarint()
	if nanos >= uint64(time.Second) {
		r.Fail("%d nanoseconds", nanos)
	}
	return time.Unix(seconds, int64(nanos)).UTC()
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if b := r.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// Bytes reads n bytes, which it shares with Data; nil for none.
func (r *Reader) Bytes(n uint64) []byte {
	if n > uint64(len(r.Data)) {
		r.Fail("field of %d bytes", n)
	}
	if r.Err != nil || n == 0 {
		return nil
	}
	b := r.Data[:n:n]
	r.Data = r.Data[n:]
	return b
}

// advance drops n bytes as binary.Uvarint returns it, where n <= 0 is a failure. It returns 0.
func (r *Reader) advance(n int) uint64 {
	if n <= 0 {
		r.Fail("number")
		return 0
	}
	r.Data = r.Data[n:]
	return 0
}

// Fail makes the reader fail, unless it has.
func (r *Reader) Fail(format string, args ...any) {
	if r.Err == nil {
		r.Err = fmt.Errorf("%w: bad "+format, append([]any{ErrDamaged}, args...)...)
	}
	r.Data = nil
}
