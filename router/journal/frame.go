package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"

	"aka/router/segment"
)

// A frame is what one write commits: a version byte, the number of calls accepted before it, each call's record behind its
// length, the frame's own fields and their length, and a CRC-32C of all that. A record holds the header beside the JSON, so
// that a reader can filter and sequence without parsing.
//
// Frames and records end in tagged fields: a tag, a length, and so many bytes. A reader passes over tags that it does not
// know, and keeps those of a record, so that they are there again when the call is written again. New fields need no new version.
const (
	frameVersion = 2
	// maxFrame keeps a frame under NATS' default max_payload of 1 MiB, so that any server takes it.
	maxFrame = 900 << 10
	// fieldsLength is the size of the length of a frame's fields.
	fieldsLength = 4
	// frameOverhead is what a frame needs beside its records and its list of requests, at the most.
	frameOverhead = 1 + binary.MaxVarintLen64 + 3*binary.MaxVarintLen64 + 2*binary.MaxVarintLen32 + fieldsLength + crc32.Size
	// MaxEntry is the largest call, header and JSON together, that fits a frame.
	MaxEntry = maxFrame - frameOverhead - 2*binary.MaxVarintLen64
)

// Tags of a frame's fields.
const (
	// tagCommitted is when the frame was written, in milliseconds since 1970 (varint). It never decreases along a log.
	tagCommitted = 1
	// tagRequests is how many of the frame's calls each request brought, in order (uvarints). Without it all are one request's.
	tagRequests = 2
	// 3, 4 and 5 are kept for the writer, the number of its write, and its dedupe horizon, where several write one log.
)

// Tags of a record's fields.
const (
	tagFromDevice = 1 // empty
	tagDeviceTime = 2 // milliseconds since 1970 (varint)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged is what a frame that fails its checks is.
var ErrDamaged = errors.New("damaged frame")

// Frame is a run of calls that were committed together, at one sequence of the log.
type Frame struct {
	// Seq is the frame's place in the log, from 1.
	Seq uint64
	// Before is how many calls the log had accepted before this frame.
	Before uint64
	// Committed is when the frame was written, to the millisecond. It never decreases along a log.
	Committed time.Time
	// Entries are the calls, in order. They are shared: not to be modified.
	Entries []Entry

	size    int
	decoded []atomic.Pointer[decodedCall] // nil for a frame that was read from disk: each reader decodes for itself
}

type decodedCall struct {
	call *segment.Call
	err  error
}

// Call decodes the entry at index i. The readers of a recent frame share the result, which must not be modified.
func (f *Frame) Call(i int) (*segment.Call, error) {
	if f.decoded == nil {
		return f.Entries[i].Decode()
	}
	if d := f.decoded[i].Load(); d != nil {
		return d.call, d.err
	}
	call, err := f.Entries[i].Decode()
	f.decoded[i].Store(&decodedCall{call, err})
	return call, err
}

// NewFrame makes a frame that is in no log, for tests of what reads frames.
func NewFrame(seq, before uint64, entries []Entry) *Frame { return newFrame(seq, before, entries, 0) }

// NewSizedFrame is NewFrame for a frame that takes so many bytes.
func NewSizedFrame(seq, before uint64, entries []Entry, size int) *Frame {
	return newFrame(seq, before, entries, size)
}

// Size is how large the frame is on disk, in bytes; 0 for one that is in no log.
func (f *Frame) Size() int { return f.size }

func newFrame(seq, before uint64, entries []Entry, size int) *Frame {
	return &Frame{Seq: seq, Before: before, Entries: entries, size: size, decoded: make([]atomic.Pointer[decodedCall], len(entries))}
}

// ownEntries returns copies whose bytes stand in one block, of no more than they need. Those of a request are parts of its body,
// which may be far larger than what was taken of it.
func ownEntries(entries []Entry) []Entry {
	size := 0
	for i := range entries {
		size += len(entries[i].Routing) + len(entries[i].JSON)
	}
	own, block := slices.Clone(entries), make([]byte, 0, size)
	move := func(field *[]byte) {
		if *field != nil {
			start := len(block)
			block = append(block, *field...)
			*field = block[start:len(block):len(block)]
		}
	}
	for i := range own {
		move(&own[i].Routing)
		move(&own[i].JSON)
	}
	return own
}

// beginFrame starts a frame in dst.
func beginFrame(dst []byte, before uint64) []byte {
	return binary.AppendUvarint(append(dst, frameVersion), before)
}

// frameFields are what a frame says beside its calls.
type frameFields struct {
	committed time.Time
	requests  []uint32 // how many calls each request brought; nil where all are one request's
}

// endFrame closes a frame whose version, count and records fill data.
func endFrame(data []byte, fields frameFields) []byte {
	start := len(data)
	if !fields.committed.IsZero() {
		var number [binary.MaxVarintLen64]byte
		data = appendField(data, tagCommitted, binary.AppendVarint(number[:0], fields.committed.UnixMilli()))
	}
	if len(fields.requests) > 1 {
		size := 0
		for _, calls := range fields.requests {
			size += uvarintLen(uint64(calls))
		}
		data = binary.AppendUvarint(append(data, tagRequests), uint64(size))
		for _, calls := range fields.requests {
			data = binary.AppendUvarint(data, uint64(calls))
		}
	}
	return appendSum(binary.LittleEndian.AppendUint32(data, uint32(len(data)-start)))
}

func appendField(dst []byte, tag uint64, value []byte) []byte {
	dst = binary.AppendUvarint(dst, tag)
	return append(binary.AppendUvarint(dst, uint64(len(value))), value...)
}

func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// appendSum adds a CRC-32C of data at its end.
func appendSum(data []byte) []byte {
	return binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
}

// cutSum takes off what appendSum has put at the end, and reports whether it is right.
func cutSum(data []byte) (body []byte, sound bool) {
	if len(data) < crc32.Size {
		return nil, false
	}
	body = data[:len(data)-crc32.Size]
	return body, crc32.Checksum(body, castagnoli) == binary.LittleEndian.Uint32(data[len(body):])
}

// recordBound is at least what appendRecord appends for an entry.
func recordBound(e *Entry) int {
	size := 1 + 4*binary.MaxVarintLen64 + binary.MaxVarintLen32 + len(e.Routing) + len(e.JSON)
	for _, s := range e.texts() {
		size += binary.MaxVarintLen32 + len(s)
	}
	if e.Replayed != nil {
		size += replayedSize
	}
	return binary.MaxVarintLen32 + size + binary.MaxVarintLen32 + knownFields + len(e.fields)
}

// texts are the texts of an entry's record, in its order.
func (e *Entry) texts() [7]string {
	return [...]string{e.Source, e.Target, e.MessageID, e.UserID, e.AnonymousID, e.PreviousID, e.GroupID}
}

// appendRecord encodes an entry behind its length.
func appendRecord(dst []byte, e *Entry) []byte {
	start := len(dst)
	// The length is written once it is known, in as many bytes as the upper bound needs.
	dst = binary.AppendUvarint(dst, uint64(recordBound(e)))
	lengthBytes := len(dst) - start
	body := len(dst)

	kind := byte(e.Type)
	if e.PreviousIDDefaulted {
		kind |= flagDefaulted
	}
	if e.Replayed != nil {
		kind |= flagReplayed
	}
	dst = append(dst, kind)
	dst = appendTime(dst, e.ReceivedAt)
	dst = appendTime(dst, e.Timestamp)
	if e.Replayed != nil {
		dst = appendReplayed(dst, e.Replayed)
	}
	for _, s := range e.texts() {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	dst = appendFields(dst, e)
	dst = binary.AppendUvarint(dst, uint64(len(e.Routing)))
	dst = append(dst, e.Routing...)
	dst = append(dst, e.JSON...)
	putPaddedUvarint(dst[start:start+lengthBytes], uint64(len(dst)-body))
	return dst
}

const (
	flagDefaulted = 0x80
	flagReplayed  = 0x40
	typeMask      = 0x3f

	replayedSize = 7 * binary.MaxVarintLen64

	// knownFields is what the fields take that this program knows, at the most.
	knownFields = 2 + 2 + binary.MaxVarintLen64

	// minRecord is what the smallest record takes: its kind, two times of two numbers, and the lengths of seven texts, the
	// fields and the routing.
	minRecord = 1 + 2*2 + 7 + 2
)

// appendFields writes an entry's tagged fields behind their length.
func appendFields(dst []byte, e *Entry) []byte {
	var room [knownFields]byte
	known := room[:0]
	if e.FromDevice {
		known = append(known, tagFromDevice, 0)
	}
	if e.DeviceTime != 0 {
		var number [binary.MaxVarintLen64]byte
		known = appendField(known, tagDeviceTime, binary.AppendVarint(number[:0], e.DeviceTime))
	}
	dst = binary.AppendUvarint(dst, uint64(len(known)+len(e.fields)))
	return append(append(dst, known...), e.fields...)
}

func appendReplayed(dst []byte, r *Replayed) []byte {
	for _, n := range [...]uint64{r.Letter, r.Position.Seq, uint64(r.Position.Index), uint64(r.Times), uint64(r.Attempts)} {
		dst = binary.AppendUvarint(dst, n)
	}
	return appendTime(dst, r.First)
}

// putPaddedUvarint fills all of dst with v, which must fit: longer than need be, but readable by Uvarint.
func putPaddedUvarint(dst []byte, v uint64) {
	for i := range dst {
		dst[i] = byte(v)&0x7f | 0x80
		v >>= 7
	}
	dst[len(dst)-1] &= 0x7f
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = binary.AppendVarint(dst, t.Unix())
	return binary.AppendUvarint(dst, uint64(t.Nanosecond()))
}

// decodeFrame reads a frame back. The frame keeps data. Every failure is an ErrDamaged.
func decodeFrame(seq uint64, data []byte) (*Frame, error) {
	before, records, fields, err := openedFrame(data)
	if err != nil {
		return nil, err
	}
	r := recordReader{data: records}
	entries := make([]Entry, 0, countRecords(records))
	for r.err == nil && len(r.data) > 0 {
		entries = append(entries, r.entry())
	}
	if r.err != nil {
		return nil, r.err
	}
	f := newFrame(seq, before, entries, len(data))
	f.Committed = fields.committed
	numberRequests(entries, fields.requests)
	return f, nil
}

// openedFrame checks a frame and returns its parts, the records undecoded.
func openedFrame(data []byte) (before uint64, records []byte, fields frameFields, err error) {
	if len(data) < 1+fieldsLength+crc32.Size {
		return 0, nil, fields, fmt.Errorf("%w: %d bytes", ErrDamaged, len(data))
	}
	body, sound := cutSum(data)
	if !sound {
		return 0, nil, fields, fmt.Errorf("%w: checksum", ErrDamaged)
	}
	if body[0] != frameVersion {
		return 0, nil, fields, fmt.Errorf("%w: version %d, this program reads %d", ErrDamaged, body[0], frameVersion)
	}
	split := len(body) - fieldsLength
	size := binary.LittleEndian.Uint32(body[split:])
	if uint64(size) > uint64(split-1) {
		return 0, nil, fields, fmt.Errorf("%w: fields of %d bytes", ErrDamaged, size)
	}
	r := recordReader{data: body[split-int(size) : split]}
	fields = r.frameFields()
	head := recordReader{data: body[1 : split-int(size)]}
	before = head.uvarint()
	if r.err == nil {
		r.err = head.err
	}
	return before, head.data, fields, r.err
}

// frameFields reads the fields of a frame, which fill the reader.
func (r *recordReader) frameFields() (fields frameFields) {
	for len(r.data) > 0 {
		tag := r.uvarint()
		value := recordReader{data: r.bytes(r.uvarint())}
		switch tag {
		case tagCommitted:
			fields.committed = time.UnixMilli(value.varint()).UTC()
		case tagRequests:
			fields.requests = make([]uint32, 0, len(value.data))
			for len(value.data) > 0 {
				fields.requests = append(fields.requests, uint32(value.uvarint()))
			}
		}
		if value.err != nil {
			r.fail("field %d", tag)
		}
	}
	return fields
}

// numberRequests says of each call which of the frame's requests brought it.
func numberRequests(entries []Entry, calls []uint32) {
	for request, n := range calls {
		for i := range entries[:min(int(n), len(entries))] {
			entries[i].Request = request
		}
		entries = entries[min(int(n), len(entries)):]
	}
}

// countRecords counts the records that data begins with, as far as their lengths may be right: it is never more than fit there.
func countRecords(data []byte) (n int) {
	for len(data) > 0 {
		size, width := binary.Uvarint(data)
		if width <= 0 || size < minRecord || size > uint64(len(data)-width) {
			break
		}
		data = data[width+int(size):]
		n++
	}
	return n
}

// recordReader reads off the front of data.
type recordReader struct {
	data []byte
	err  error
}

func (r *recordReader) entry() Entry {
	size := r.uvarint()
	if size > uint64(len(r.data)) {
		r.fail("record of %d bytes", size)
		return Entry{}
	}
	// The record is read by a reader of its own, so that a wrong length inside cannot reach into the next.
	inner := recordReader{data: r.data[:size:size]}
	r.data = r.data[size:]
	e := inner.record()
	if inner.err != nil {
		r.err = inner.err
	}
	return e
}

func (r *recordReader) record() (e Entry) {
	record := r.data
	kind := r.byte()
	e.Type = segment.Type(kind & typeMask)
	e.PreviousIDDefaulted = kind&flagDefaulted != 0
	e.ReceivedAt = r.time()
	e.Timestamp = r.time()
	if kind&flagReplayed != 0 {
		e.Replayed = &Replayed{
			Letter: r.uvarint(), Position: Position{r.uvarint(), int(r.uvarint())},
			Times: int(r.uvarint()), Attempts: int(r.uvarint()), First: r.time(),
		}
	}
	strings := [...]*string{&e.Source, &e.Target, &e.MessageID, &e.UserID, &e.AnonymousID, &e.PreviousID, &e.GroupID}
	var ends, lengths [len(strings)]int
	for i := range strings {
		lengths[i] = len(r.bytes(r.uvarint()))
		ends[i] = len(record) - len(r.data)
	}
	// One string for all of them, which keeps neither the JSON nor the rest of the frame in memory.
	text := string(record[:len(record)-len(r.data)])
	for i, s := range strings {
		if r.err == nil {
			*s = text[ends[i]-lengths[i] : ends[i]]
		}
	}
	fields := recordReader{data: r.bytes(r.uvarint())}
	fields.entryFields(&e)
	if fields.err != nil {
		r.fail("fields")
	}
	e.Routing = r.bytes(r.uvarint())
	e.JSON = r.bytes(uint64(len(r.data)))
	if r.err == nil && e.Type.String() == "" {
		r.fail("type %d", e.Type)
	}
	return e
}

// entryFields reads the tagged fields of a record, which fill the reader, and keeps those that it does not know.
func (r *recordReader) entryFields(e *Entry) {
	for len(r.data) > 0 {
		start := r.data
		tag := r.uvarint()
		value := recordReader{data: r.bytes(r.uvarint())}
		switch tag {
		case tagFromDevice:
			e.FromDevice = true
		case tagDeviceTime:
			e.DeviceTime = value.varint()
		default:
			e.fields = append(e.fields, start[:len(start)-len(r.data)]...)
		}
		if value.err != nil {
			r.err = value.err
		}
	}
}

func (r *recordReader) varint() int64 {
	v, n := binary.Varint(r.data)
	return v + int64(r.advance(n))
}

func (r *recordReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	return v + r.advance(n)
}

func (r *recordReader) time() time.Time {
	seconds, n := binary.Varint(r.data)
	r.advance(n)
	nanos := r.uvarint()
	if nanos >= uint64(time.Second) {
		r.fail("%d nanoseconds", nanos)
	}
	return time.Unix(seconds, int64(nanos)).UTC()
}

func (r *recordReader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *recordReader) bytes(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.fail("field of %d bytes", n)
	}
	if r.err != nil || n == 0 {
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

// advance drops n bytes as binary.Uvarint returns it, where n <= 0 is a failure. It returns 0.
func (r *recordReader) advance(n int) uint64 {
	if n <= 0 {
		r.fail("number")
		return 0
	}
	r.data = r.data[n:]
	return 0
}

func (r *recordReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: bad "+format, append([]any{ErrDamaged}, args...)...)
	}
	r.data = nil
}

// withMeta puts a JSON object before an entry's frame, and a CRC-32C of all behind it: how a single call is kept beside the
// log.
func withMeta(meta []byte, e *Entry) []byte {
	data := append(binary.AppendUvarint(nil, uint64(len(meta))), meta...)
	frame := endFrame(appendRecord(beginFrame(nil, 0), e), frameFields{})
	return appendSum(append(data, frame...))
}

// readMeta reads what withMeta wrote. Every failure is an ErrDamaged.
func readMeta(data []byte, meta any) (Entry, error) {
	body, sound := cutSum(data)
	if !sound {
		return Entry{}, fmt.Errorf("%w: checksum", ErrDamaged)
	}
	size, n := binary.Uvarint(body)
	if n <= 0 || size > uint64(len(body)-n) {
		return Entry{}, fmt.Errorf("%w: bad length", ErrDamaged)
	}
	if err := json.Unmarshal(body[n:n+int(size)], meta); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	frame, err := decodeFrame(0, body[n+int(size):])
	if err != nil {
		return Entry{}, err
	}
	if len(frame.Entries) != 1 {
		return Entry{}, fmt.Errorf("%w: %d calls instead of one", ErrDamaged, len(frame.Entries))
	}
	return frame.Entries[0], nil
}
