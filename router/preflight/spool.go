package preflight

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/klauspost/compress/s2"

	"aka/router/journal"
	"aka/router/journal/frame"
)

// place is where a call stands: the number of its file, its line, and whether a browser has reversed it.
type place uint64

const (
	lineBits = 40
	maxLine  = 1<<lineBits - 1
)

func placeOf(file, line int) place {
	return place(uint64(file)<<(lineBits+1) | uint64(min(line, maxLine))<<1)
}

func (p place) file() int           { return int(p >> (lineBits + 1)) }
func (p place) line() int           { return int(p>>1) & maxLine }
func (p place) isReversed() bool    { return p&1 == 1 }
func (p place) withReversed() place { return p | 1 }

// memoryBytes is how much of the calls stays in memory, compressed. It is about a fifth to a tenth of their size.
const memoryBytes = 48 << 20

// disk is the temporary folder, which is made when memory does not suffice. It is safe for concurrent use.
type disk struct {
	make func() (string, error)

	mu     sync.Mutex
	folder string
	files  int
	free   int // bytes of memory
}

func newDisk(folder func() (string, error)) *disk { return &disk{make: folder, free: memoryBytes} }

// reserve reports whether there is memory for so many bytes, and takes it.
func (d *disk) reserve(n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n > d.free {
		return false
	}
	d.free -= n
	return true
}

// giveBack frees memory.
func (d *disk) giveBack(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free += n
}

// create makes a file.
func (d *disk) create() (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.folder == "" {
		folder, err := d.make()
		if err != nil {
			return nil, err
		}
		d.folder = folder
	}
	d.files++
	return os.OpenFile(filepath.Join(d.folder, strconv.Itoa(d.files)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

func (d *disk) remove() {
	if d.folder != "" {
		_ = os.RemoveAll(d.folder)
	}
}

// blockBytes is how large a block of calls becomes before it is compressed and put away.
const blockBytes = 64 << 10

// blocks is a list of calls that is written once and read once: in memory, and on disk what does not fit there.
type blocks struct {
	disk   *disk
	memory [][]byte
	file   *os.File
	out    *bufio.Writer

	places, records []byte // the block that is being filled
	block, packed   []byte // scratch
	calls           int    // in the block
}

func newBlocks(d *disk) *blocks { return &blocks{disk: d} }

func (b *blocks) add(at place, e *journal.Entry) error {
	b.begin()
	b.records = frame.AppendRecord(b.records, e)
	return b.added(at)
}

// addRecord adds a call as frame.AppendRecord has written it.
func (b *blocks) addRecord(at place, record []byte) error {
	b.begin()
	b.records = append(b.records, record...)
	return b.added(at)
}

func (b *blocks) begin() {
	if b.calls == 0 {
		b.records = frame.Begin(b.records[:0], 0)
	}
}

func (b *blocks) added(at place) error {
	b.places = binary.AppendUvarint(b.places, uint64(at))
	b.calls++
	if len(b.records) < blockBytes {
		return nil
	}
	return b.flush()
}

// flush puts the block away: the number of the places' bytes, the places, a frame.
func (b *blocks) flush() error {
	if b.calls == 0 {
		return nil
	}
	b.block = binary.AppendUvarint(b.block[:0], uint64(len(b.places)))
	b.block = append(b.block, b.places...)
	b.records = frame.End(b.records, frame.Fields{})
	b.block = append(b.block, b.records...)
	b.packed = s2.Encode(b.packed[:cap(b.packed)], b.block)
	b.places, b.calls = b.places[:0], 0
	if b.file == nil && b.disk.reserve(len(b.packed)) {
		b.memory = append(b.memory, append([]byte(nil), b.packed...))
		return nil
	}
	if b.file == nil {
		file, err := b.disk.create()
		if err != nil {
			return err
		}
		b.file, b.out = file, bufio.NewWriterSize(file, 32<<10)
	}
	var size [binary.MaxVarintLen64]byte
	_, _ = b.out.Write(size[:binary.PutUvarint(size[:], uint64(len(b.packed)))])
	if _, err := b.out.Write(b.packed); err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	return nil
}

// end completes the list. What was for writing is freed.
func (b *blocks) end() error {
	if err := b.flush(); err != nil {
		return err
	}
	b.records, b.places, b.block, b.packed = nil, nil, nil, nil
	if b.out == nil {
		return nil
	}
	if err := b.out.Flush(); err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	b.out = nil
	_, err := b.file.Seek(0, io.SeekStart)
	return err
}

// each visits the calls in order, and frees what they took.
func (b *blocks) each(visit func(at place, e *journal.Entry) error) error {
	c := b.open()
	defer c.close()
	for {
		at, e, err := c.next()
		if err != nil || e == nil {
			return err
		}
		if err := visit(at, e); err != nil {
			return err
		}
	}
}

// open returns a cursor before the first call. The list is empty then.
func (b *blocks) open() *cursor {
	c := &cursor{disk: b.disk, memory: b.memory, file: b.file}
	b.memory, b.file = nil, nil
	if c.file != nil {
		c.in = bufio.NewReaderSize(c.file, 32<<10)
	}
	return c
}

// cursor reads a list of calls.
type cursor struct {
	disk   *disk
	memory [][]byte
	file   *os.File
	in     *bufio.Reader

	packed  []byte
	entries []journal.Entry
	places  []byte
	at      int
}

// next returns the next call, nil behind the last. It stays good.
func (c *cursor) next() (place, *journal.Entry, error) {
	if c.at == len(c.entries) {
		if more, err := c.load(); err != nil || !more {
			return 0, nil, err
		}
	}
	at, n := binary.Uvarint(c.places)
	c.places = c.places[max(n, 0):]
	c.at++
	return place(at), &c.entries[c.at-1], nil
}

// load reads the next block.
func (c *cursor) load() (more bool, err error) {
	switch {
	case len(c.memory) > 0:
		c.packed = c.memory[0]
		c.memory = c.memory[1:]
		c.disk.giveBack(len(c.packed))
	case c.in != nil:
		size, err := binary.ReadUvarint(c.in)
		if err == io.EOF {
			return false, nil
		}
		if err == nil {
			c.packed = append(c.packed[:0], make([]byte, size)...)
			_, err = io.ReadFull(c.in, c.packed)
		}
		if err != nil {
			return false, fmt.Errorf("temporary file: %w", err)
		}
	default:
		return false, nil
	}
	block, err := s2.Decode(nil, c.packed)
	if err != nil {
		return false, fmt.Errorf("temporary file: %w", err)
	}
	size, n := binary.Uvarint(block)
	c.places = block[n : n+int(size)]
	f, err := frame.Decode(0, block[n+int(size):])
	if err != nil {
		return false, fmt.Errorf("temporary file: %w", err)
	}
	c.entries, c.at = f.Entries, 0
	return true, nil
}

func (c *cursor) close() {
	for _, block := range c.memory {
		c.disk.giveBack(len(block))
	}
	c.memory = nil
	if c.file != nil {
		_ = c.file.Close()
		_ = os.Remove(c.file.Name())
	}
}
