package journal

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server/avl"
)

// The engine keeps a stream's messages in numbered block files, one record behind the other. They are read here without it,
// because at the first record that it cannot read it cuts the rest of the block away.
//
// A record: its length (4 bytes; the highest bit tells of headers), sequence (8; the highest bit marks an erased message, the
// next one the tombstone of a message that was removed), time (8), the subject's length (2), the subject, with headers their
// length (4) and themselves, the payload, and a checksum of sequence, time and all that follows (8). Little-endian.
const (
	recordHead   = 22
	recordSum    = 8
	recordMin    = recordHead + recordSum
	recordMax    = 32 << 20
	headersBit   = 1 << 31
	erasedBit    = 1 << 63
	tombstoneBit = 1 << 62

	blockSuffix = ".blk"
	// blockMax bounds what is read into memory of one file. The engine begins a new block at 8 MiB.
	blockMax = 64 << 20
	// indexFile is where the engine notes the state of a stream, to start without reading all blocks.
	indexFile    = "index.db"
	indexMagic   = 11
	indexVersion = 4
)

// record is one message as a block holds it. All its bytes are the block's own.
type record struct {
	seq       uint64
	at        int64 // nanoseconds since 1970
	erased    bool  // it has no content any more
	tombstone bool  // it only says that the message of that sequence was removed
	subject   []byte
	payload   []byte
	raw       []byte
}

// span is a piece of a file.
type span struct{ from, to int }

func (s span) size() int { return s.to - s.from }

// blockScanner reads one block of a stream. A record is sound only in the block in which it was written.
type blockScanner struct {
	hash    *highwayhash.Digest64
	subject []byte // what every subject of the stream starts with
}

func newBlockScanner(stream string, number int) *blockScanner {
	return &blockScanner{newHash(fmt.Sprintf("%s-%d", stream, number)), []byte(streamSubjects[stream])}
}

func newHash(name string) *highwayhash.Digest64 {
	key := sha256.Sum256([]byte(name))
	hash, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		panic(err) // the key has the right length
	}
	return hash
}

// streamSubjects are the streams that a journal has, each with what all its subjects start with.
var streamSubjects = map[string]string{
	callsStream:        callsTopic,
	deadStream:         deadTopic,
	parkedStream:       parkedTopic,
	"KV_" + progressKV: progressTopic,
	mergesStream:       mergesTopic,
}

// progressStream is where the engine keeps the bucket. The subjects end in the destination's name.
const (
	progressStream = "KV_" + progressKV
	progressTopic  = "$KV." + progressKV + "."
)

// scan calls visit for every sound record of a block, in order, and returns the pieces between them that are none. Behind
// one it goes on with the next that is sound.
func (s *blockScanner) scan(block []byte, visit func(record)) (damaged []span) {
	for at := 0; at < len(block); {
		r, ok := s.record(block[at:])
		if ok {
			visit(r)
			at += len(r.raw)
			continue
		}
		next := s.resume(block, at+1)
		damaged = append(damaged, span{at, next})
		at = next
	}
	return damaged
}

// resume returns where the next record starts, or the block's end.
func (s *blockScanner) resume(block []byte, from int) int {
	for at := from; at+recordMin <= len(block); at++ {
		if !s.mayStart(block[at:]) {
			continue
		}
		if _, ok := s.record(block[at:]); ok {
			return at
		}
	}
	return len(block)
}

// mayStart looks for what every record shows without its checksum, so that garbage is passed over in little time.
func (s *blockScanner) mayStart(b []byte) bool {
	length, subject := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint16(b[20:]))
	if subject == 0 {
		return length == recordMin || binary.LittleEndian.Uint64(b[4:])&erasedBit != 0 && int(length) <= len(b)
	}
	return bytes.HasPrefix(b[recordHead:], s.subject)
}

// record reads the one at the front of b.
func (s *blockScanner) record(b []byte) (r record, ok bool) {
	if len(b) < recordMin {
		return r, false
	}
	length, subject := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint16(b[20:]))
	headers := length&headersBit != 0
	size := int(length &^ headersBit)
	if size < recordMin+subject || size > recordMax || size > len(b) {
		return r, false
	}
	b = b[:size:size]
	r = record{raw: b, subject: b[recordHead : recordHead+subject], payload: b[recordHead+subject : size-recordSum]}
	if headers {
		if len(r.payload) < 4 {
			return r, false
		}
		r.payload = r.payload[4:]
	}
	if !bytes.Equal(b[size-recordSum:], s.sum(b[4:20], r.subject, r.payload)) {
		return r, false
	}
	if headers {
		// The length of the headers is not in the checksum, but they have an end of their own.
		n := binary.LittleEndian.Uint32(b[recordHead+subject:])
		if uint64(n) > uint64(len(r.payload)) || !bytes.HasSuffix(r.payload[:n], []byte("\r\n\r\n")) {
			return r, false
		}
		r.payload = r.payload[n:]
	}
	seq := binary.LittleEndian.Uint64(b[4:])
	r.at = int64(binary.LittleEndian.Uint64(b[12:]))
	r.seq, r.erased, r.tombstone = seq&^(erasedBit|tombstoneBit), seq&erasedBit != 0, seq&tombstoneBit != 0
	return r, true
}

func (s *blockScanner) sum(parts ...[]byte) []byte {
	s.hash.Reset()
	for _, part := range parts {
		_, _ = s.hash.Write(part)
	}
	return s.hash.Sum(nil)
}

// tombstone returns a record that says that the message of that sequence was removed. It keeps the sequence from being used
// again.
func (s *blockScanner) tombstone(seq uint64, at int64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, recordMin)
	b = binary.LittleEndian.AppendUint64(b, seq|tombstoneBit)
	b = binary.LittleEndian.AppendUint64(b, uint64(at))
	b = binary.LittleEndian.AppendUint16(b, 0)
	return append(b, s.sum(b[4:20])...)
}

// seal makes a copy of a record for this block, which may be another than the one where it was read.
func (s *blockScanner) seal(dst []byte, r record) []byte {
	content := r.raw[recordHead+len(r.subject) : len(r.raw)-recordSum]
	if binary.LittleEndian.Uint32(r.raw)&headersBit != 0 {
		content = content[4:]
	}
	dst = append(dst, r.raw[:len(r.raw)-recordSum]...)
	return append(dst, s.sum(r.raw[4:20], r.subject, content)...)
}

// blockFile is a block's file, by its number.
type blockFile struct {
	number int
	path   string
}

// blockFiles returns the blocks of a folder, in order.
func blockFiles(dir string) (files []blockFile, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name, isBlock := strings.CutSuffix(e.Name(), blockSuffix)
		if number, err := strconv.Atoi(name); isBlock && err == nil {
			files = append(files, blockFile{number, filepath.Join(dir, e.Name())})
		}
	}
	slices.SortFunc(files, func(a, b blockFile) int { return cmp.Compare(a.number, b.number) })
	return files, nil
}

// readBlock returns a block's bytes, in buf where they fit.
func readBlock(path string, buf []byte) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > blockMax {
		return nil, fmt.Errorf("%s: no block of the journal: %d bytes, mode %s", path, info.Size(), info.Mode())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	buf = slices.Grow(buf[:0], int(info.Size()))[:info.Size()]
	for n := 0; n < len(buf); {
		read, err := f.Read(buf[n:])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		n += read
	}
	return buf, nil
}

// streamIndex is what the engine's index says of a stream's end.
type streamIndex struct {
	lastSeq   uint64
	lastBlock int
}

// readIndex returns what the index in a stream's folder says; nothing without a sound one, which is no damage: the engine
// reads the blocks instead.
func readIndex(stream, msgs string) (x streamIndex, err error) {
	data, err := os.ReadFile(filepath.Join(msgs, indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return x, nil
	}
	if err != nil {
		return x, err
	}
	hash := newHash(stream)
	if len(data) < recordMin {
		return x, nil
	}
	body := data[:len(data)-recordSum]
	_, _ = hash.Write(body)
	if body[0] != indexMagic || body[1] != indexVersion || !bytes.Equal(data[len(body):], hash.Sum(nil)) {
		return x, nil
	}
	r := recordReader{data: body[2:]}
	x.lastSeq, x.lastBlock = r.indexEnd()
	if r.err != nil {
		return streamIndex{}, nil
	}
	return x, nil
}

// indexEnd reads an index up to the number of the newest block.
func (r *recordReader) indexEnd() (lastSeq uint64, lastBlock int) {
	r.skip(4) // messages, bytes, the first sequence and its time
	lastSeq = r.uvarint()
	r.skip(1) // its time
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		r.bytes(r.uvarint()) // a subject
		r.skip(3)
	}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		r.skip(6) // a block: its number, bytes, first and last sequence with their times
		removed := r.uvarint()
		r.skip(2)
		if removed > 0 && r.err == nil {
			_, size, err := avl.Decode(r.data)
			if err != nil {
				r.fail("set of removed sequences")
				return 0, 0
			}
			r.bytes(uint64(size))
		}
	}
	return lastSeq, int(r.uvarint())
}

func (r *recordReader) skip(numbers int) {
	for range numbers {
		r.uvarint()
	}
}
