package frame

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"aka/router/journal/codec"
	"aka/router/segment"
)

// A frame is what one write commits: a version byte, the number of calls accepted before it, each call's record behind its
// length, the frame's own fields and their length, and a CRC-32C of all that. A record holds the header beside the JSON, so
// that a reader can filter and sequence without parsing.
//
// Frames and records end in tagged fields: a tag, a length, and so many bytes. A reader passes over tags that it does not
// know, and keeps those of a record, so that they are there again when the call is written again. New fields need no new version.
const (
	version = 2
	// MaxSize keeps a frame under NATS' default max_payload of 1 MiB, so that any server takes it.
	MaxSize = 900 << 10
	// fieldsLength is the size of the length of a frame's fields.
	fieldsLength = 4
	// Overhead is what a frame needs beside its records and its list of requests, at the most.
	Overhead = 1 + binary.MaxVarintLen64 + 3*binary.MaxVarintLen64 + 2*binary.MaxVarintLen32 + fieldsLength + codec.SumSize
	// MaxEntry is the largest call, header and JSON together, that fits a frame.
	MaxEntry = MaxSize - Overhead - 2*binary.MaxVarintLen64
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
	// tagDeviceMicros is what tagDeviceTime leaves of the microseconds, from 1 to 999 (uvarint). Without it there are none.
	tagDeviceMicros       = 3
	tagUserIDStamped      = 4 // empty
	tagPreviousIDRepaired = 5 // empty
	// tagReorder is how long the call is held, in milliseconds (uvarint), and how much later than its device's its clock is, in
	// microseconds (varint).
	tagReorder = 6
)

// maxReorderMillis bounds what is read: an hour is far more than a window may be.
const maxReorderMillis = 3_600_000

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

// Size is how large the frame is on disk, in bytes; 0 for one that is in no log.
func (f *Frame) Size() int { return f.size }

// New makes a frame that takes so many bytes of the log; 0 for one that is in no log. Its readers share what they decode.
func New(seq, before uint64, entries []Entry, size int) *Frame {
	return &Frame{Seq: seq, Before: before, Entries: entries, size: size, decoded: make([]atomic.Pointer[decodedCall], len(entries))}
}

// NewDecodedPerReader makes a frame of which each reader decodes the calls for itself.
func NewDecodedPerReader(seq, before uint64, committed time.Time, entries []Entry, size int) *Frame {
	return &Frame{Seq: seq, Before: before, Committed: committed, Entries: entries, size: size}
}

// DecodePerReader makes each reader decode the calls for itself: else they are in memory for as long as the frame.
func (f *Frame) DecodePerReader() { f.decoded = nil }

// Own returns copies whose bytes stand in one block, of no more than they need. Those of a request are parts of its body,
// which may be far larger than what was taken of it.
func Own(entries []Entry) []Entry {
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

// Begin starts a frame in dst.
func Begin(dst []byte, before uint64) []byte {
	return binary.AppendUvarint(append(dst, version), before)
}

// frameFields are what a frame says beside its calls.
type Fields struct {
	Committed time.Time
	Requests  []uint32 // how many calls each request brought; nil where all are one request's
}

// End closes a frame whose version, count and records fill data.
func End(data []byte, fields Fields) []byte {
	start := len(data)
	if !fields.Committed.IsZero() {
		var number [binary.MaxVarintLen64]byte
		data = codec.AppendField(data, tagCommitted, binary.AppendVarint(number[:0], fields.Committed.UnixMilli()))
	}
	if len(fields.Requests) > 1 {
		size := 0
		for _, calls := range fields.Requests {
			size += codec.UvarintLen(uint64(calls))
		}
		data = binary.AppendUvarint(append(data, tagRequests), uint64(size))
		for _, calls := range fields.Requests {
			data = binary.AppendUvarint(data, uint64(calls))
		}
	}
	return codec.AppendSum(binary.LittleEndian.AppendUint32(data, uint32(len(data)-start)))
}

// RecordBound is at least what AppendRecord appends for an entry.
func RecordBound(e *Entry) int {
	size := 1 + 4*binary.MaxVarintLen64 + binary.MaxVarintLen32 + len(e.Routing) + len(e.JSON)
	for _, s := range e.texts() {
		size += binary.MaxVarintLen32 + len(s)
	}
	if e.Replayed != nil {
		size += replayedSize
	}
	return binary.MaxVarintLen32 + size + binary.MaxVarintLen32 + maxOwnFields + len(e.fields)
}

// texts are the texts of an entry's record, in its order.
func (e *Entry) texts() [7]string {
	return [...]string{e.Source, e.Target, e.MessageID, e.UserID, e.AnonymousID, e.PreviousID, e.GroupID}
}

// AppendRecord encodes an entry behind its length.
func AppendRecord(dst []byte, e *Entry) []byte {
	start := len(dst)
	// The length is written once it is known, in as many bytes as the upper bound needs.
	dst = binary.AppendUvarint(dst, uint64(RecordBound(e)))
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
	dst = codec.AppendTime(dst, e.ReceivedAt)
	dst = codec.AppendTime(dst, e.Timestamp)
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

	// maxOwnFields is what the fields take that this program knows, at the most.
	maxOwnFields = 2 + 2 + binary.MaxVarintLen64 + 2 + 2 + 2 + 2 + 2 + 2*binary.MaxVarintLen64

	// minRecord is what the smallest record takes: its kind, two times of two numbers, and the lengths of seven texts, the
	// fields and the routing.
	minRecord = 1 + 2*2 + 7 + 2
)

// appendFields writes an entry's tagged fields behind their length.
func appendFields(dst []byte, e *Entry) []byte {
	var room [maxOwnFields]byte
	known := room[:0]
	if e.FromDevice {
		known = append(known, tagFromDevice, 0)
	}
	if e.DeviceMicros != 0 {
		millis, micros := e.DeviceMicros/1000, e.DeviceMicros%1000
		if micros < 0 {
			millis, micros = millis-1, micros+1000
		}
		var number [binary.MaxVarintLen64]byte
		known = codec.AppendField(known, tagDeviceTime, binary.AppendVarint(number[:0], millis))
		if micros > 0 {
			known = codec.AppendField(known, tagDeviceMicros, binary.AppendUvarint(number[:0], uint64(micros)))
		}
	}
	if e.UserIDStamped {
		known = append(known, tagUserIDStamped, 0)
	}
	if e.PreviousIDRepaired {
		known = append(known, tagPreviousIDRepaired, 0)
	}
	if e.ReorderWindow > 0 {
		var numbers [2 * binary.MaxVarintLen64]byte
		value := binary.AppendUvarint(numbers[:0], uint64(e.ReorderWindow.Milliseconds()))
		known = codec.AppendField(known, tagReorder, binary.AppendVarint(value, e.Clock-e.DeviceMicros))
	}
	dst = binary.AppendUvarint(dst, uint64(len(known)+len(e.fields)))
	return append(append(dst, known...), e.fields...)
}

func appendReplayed(dst []byte, r *Replayed) []byte {
	for _, n := range [...]uint64{r.DeadLetterID, r.Position.Seq, uint64(r.Position.Index), uint64(r.Times), uint64(r.Attempts)} {
		dst = binary.AppendUvarint(dst, n)
	}
	return codec.AppendTime(dst, r.First)
}

// putPaddedUvarint fills all of dst with v, which must fit: longer than need be, but readable by Uvarint.
func putPaddedUvarint(dst []byte, v uint64) {
	for i := range dst {
		dst[i] = byte(v)&0x7f | 0x80
		v >>= 7
	}
	dst[len(dst)-1] &= 0x7f
}

// Decode reads a frame back. The frame keeps data. Every failure is an codec.ErrDamaged.
func Decode(seq uint64, data []byte) (*Frame, error) {
	before, records, fields, err := Unpack(data)
	if err != nil {
		return nil, err
	}
	r := readerOf(records)
	entries := make([]Entry, 0, countRecords(records))
	for r.Err == nil && len(r.Data) > 0 {
		entries = append(entries, r.entry())
	}
	if r.Err != nil {
		return nil, r.Err
	}
	f := New(seq, before, entries, len(data))
	f.Committed = fields.Committed
	NumberRequests(entries, fields.Requests)
	return f, nil
}

// Unpack checks a frame and returns its parts, the records undecoded.
func Unpack(data []byte) (before uint64, records []byte, fields Fields, err error) {
	if len(data) < 1+fieldsLength+codec.SumSize {
		return 0, nil, fields, fmt.Errorf("%w: %d bytes", codec.ErrDamaged, len(data))
	}
	body, sound := codec.CutSum(data)
	if !sound {
		return 0, nil, fields, fmt.Errorf("%w: checksum", codec.ErrDamaged)
	}
	if body[0] != version {
		return 0, nil, fields, fmt.Errorf("%w: version %d, this program reads %d", codec.ErrDamaged, body[0], version)
	}
	split := len(body) - fieldsLength
	size := binary.LittleEndian.Uint32(body[split:])
	if uint64(size) > uint64(split-1) {
		return 0, nil, fields, fmt.Errorf("%w: fields of %d bytes", codec.ErrDamaged, size)
	}
	r := readerOf(body[split-int(size) : split])
	fields = r.frameFields()
	head := readerOf(body[1 : split-int(size)])
	before = head.Uvarint()
	if r.Err == nil {
		r.Err = head.Err
	}
	return before, head.Data, fields, r.Err
}

// frameFields reads the fields of a frame, which fill the reader.
func (r *recordReader) frameFields() (fields Fields) {
	for len(r.Data) > 0 {
		tag := r.Uvarint()
		value := readerOf(r.Bytes(r.Uvarint()))
		switch tag {
		case tagCommitted:
			fields.Committed = time.UnixMilli(value.Varint()).UTC()
		case tagRequests:
			fields.Requests = make([]uint32, 0, len(value.Data))
			for len(value.Data) > 0 {
				fields.Requests = append(fields.Requests, uint32(value.Uvarint()))
			}
		}
		if value.Err != nil {
			r.Fail("field %d", tag)
		}
	}
	return fields
}

// NumberRequests says of each call which of the frame's requests brought it.
func NumberRequests(entries []Entry, calls []uint32) {
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

// recordReader reads off the front of a frame.
type recordReader struct{ codec.Reader }

func readerOf(data []byte) recordReader { return recordReader{codec.Reader{Data: data}} }

func (r *recordReader) entry() Entry {
	size := r.Uvarint()
	if size > uint64(len(r.Data)) {
		r.Fail("record of %d bytes", size)
		return Entry{}
	}
	// The record is read by a reader of its own, so that a wrong length inside cannot reach into the next.
	inner := readerOf(r.Data[:size:size])
	r.Data = r.Data[size:]
	e := inner.record()
	if inner.Err != nil {
		r.Err = inner.Err
	}
	return e
}

func (r *recordReader) record() (e Entry) {
	record := r.Data
	kind := r.Byte()
	e.Type = segment.Type(kind & typeMask)
	e.PreviousIDDefaulted = kind&flagDefaulted != 0
	e.ReceivedAt = r.Time()
	e.Timestamp = r.Time()
	if kind&flagReplayed != 0 {
		e.Replayed = &Replayed{
			DeadLetterID: r.Uvarint(), Position: Position{r.Uvarint(), int(r.Uvarint())},
			Times: int(r.Uvarint()), Attempts: int(r.Uvarint()), First: r.Time(),
		}
	}
	strings := [...]*string{&e.Source, &e.Target, &e.MessageID, &e.UserID, &e.AnonymousID, &e.PreviousID, &e.GroupID}
	var ends, lengths [len(strings)]int
	for i := range strings {
		lengths[i] = len(r.Bytes(r.Uvarint()))
		ends[i] = len(record) - len(r.Data)
	}
	// One string for all of them, which keeps neither the JSON nor the rest of the frame in memory.
	text := string(record[:len(record)-len(r.Data)])
	for i, s := range strings {
		if r.Err == nil {
			*s = text[ends[i]-lengths[i] : ends[i]]
		}
	}
	fields := readerOf(r.Bytes(r.Uvarint()))
	fields.entryFields(&e)
	if fields.Err != nil {
		r.Fail("fields")
	}
	e.Routing = r.Bytes(r.Uvarint())
	e.JSON = r.Bytes(uint64(len(r.Data)))
	if r.Err == nil && e.Type.String() == "" {
		r.Fail("type %d", e.Type)
	}
	return e
}

// entryFields reads the tagged fields of a record, which fill the reader, and keeps those that it does not know.
func (r *recordReader) entryFields(e *Entry) {
	for len(r.Data) > 0 {
		start := r.Data
		tag := r.Uvarint()
		value := readerOf(r.Bytes(r.Uvarint()))
		switch tag {
		case tagFromDevice:
			e.FromDevice = true
		case tagDeviceTime:
			e.DeviceMicros += value.Varint() * 1000
		case tagDeviceMicros:
			e.DeviceMicros += int64(value.Uvarint())
		case tagUserIDStamped:
			e.UserIDStamped = true
		case tagPreviousIDRepaired:
			e.PreviousIDRepaired = true
		case tagReorder:
			e.ReorderWindow = time.Duration(min(value.Uvarint(), maxReorderMillis)) * time.Millisecond
			e.Clock = value.Varint()
		default:
			e.fields = append(e.fields, start[:len(start)-len(r.Data)]...)
		}
		if value.Err != nil {
			r.Err = value.Err
		}
	}
	if e.ReorderWindow > 0 {
		e.Clock += e.DeviceMicros
	}
}

// WithMeta puts bytes that describe an entry before its frame, and a CRC-32C of all behind it: how a single call is kept beside
// the log.
func WithMeta(meta []byte, e *Entry) []byte {
	size := binary.MaxVarintLen64 + len(meta) + Overhead + RecordBound(e) + codec.SumSize
	data := binary.AppendUvarint(make([]byte, 0, size), uint64(len(meta)))
	data = append(data, meta...)
	frame := End(AppendRecord(Begin(data[len(data):], 0), e), Fields{}) // in place, where its sum is of it alone
	return codec.AppendSum(append(data, frame...))
}

// SplitMeta reads what WithMeta wrote. The entry shares data. Every failure is a codec.ErrDamaged.
func SplitMeta(data []byte) (meta []byte, e Entry, err error) {
	body, sound := codec.CutSum(data)
	if !sound {
		return nil, Entry{}, fmt.Errorf("%w: checksum", codec.ErrDamaged)
	}
	size, n := binary.Uvarint(body)
	if n <= 0 || size > uint64(len(body)-n) {
		return nil, Entry{}, fmt.Errorf("%w: bad length", codec.ErrDamaged)
	}
	meta = body[n : n+int(size)]
	frame, err := Decode(0, body[n+int(size):])
	if err != nil {
		return nil, Entry{}, err
	}
	if len(frame.Entries) != 1 {
		return nil, Entry{}, fmt.Errorf("%w: %d calls instead of one", codec.ErrDamaged, len(frame.Entries))
	}
	return meta, frame.Entries[0], nil
}

// ReadMeta is SplitMeta for a description in JSON.
func ReadMeta(data []byte, meta any) (Entry, error) {
	description, e, err := SplitMeta(data)
	if err != nil {
		return Entry{}, err
	}
	if err := json.Unmarshal(description, meta); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", codec.ErrDamaged, err)
	}
	return e, nil
}
