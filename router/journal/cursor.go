package journal

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
)

// blockCursor reads the log's frames out of its files, one after the other, and holds little more than the frame that it
// gives. The engine would keep every block that it read in memory for a while, once more for each message on its way.
//
// It knows the ordinary case only: the next frame is the next record, and sound. Where that is not so it gives nothing, and
// the engine must be asked. The zero cursor stands nowhere.
type blockCursor struct {
	file    *os.File
	scanner *blockScanner
	number  int   // of the block
	at      int64 // where its next record begins

	// chunk is what was read of the file, from chunkAt on, when the log ended with the frame chunkHead. What stands there of
	// later frames may be writes that failed, and something else in the file by now.
	chunk     []byte
	chunkAt   int64
	chunkHead uint64
}

// cursorChunk is how much is read at once; a larger record is read by itself.
const cursorChunk = 64 << 10

// frame returns the content of the frame at seq, which is at most head, the log's last; nil when the engine must be asked.
func (c *blockCursor) frame(dir string, seq, head uint64) []byte {
	if c.file != nil {
		if content := c.ahead(dir, seq, head); content != nil {
			return content
		}
		c.close() // its reader may have left out more than a block
	}
	if !c.seek(dir, seq) {
		return nil
	}
	content := c.ahead(dir, seq, head)
	if content == nil {
		c.close()
	}
	return content
}

// ahead returns the content of the frame at seq when it is in this block or the next.
func (c *blockCursor) ahead(dir string, seq, head uint64) []byte {
	content := c.next(seq, head)
	if content == nil && c.open(dir, c.number+1) {
		content = c.next(seq, head)
	}
	return content
}

// seek opens the block that has the frame, if any does.
func (c *blockCursor) seek(dir string, seq uint64) bool {
	files, err := blockFiles(dir)
	if err != nil {
		return false
	}
	i, err := blockOf(files, seq)
	return err == nil && i >= 0 && c.open(dir, files[i].number)
}

func (c *blockCursor) open(dir string, number int) bool {
	file, err := os.Open(filepath.Join(dir, fmt.Sprint(number)+blockSuffix))
	if err != nil {
		return false
	}
	c.close()
	c.file, c.number, c.scanner = file, number, newBlockScanner(callsStream, number)
	return true
}

func (c *blockCursor) close() {
	if c.file != nil {
		_ = c.file.Close()
	}
	*c = blockCursor{}
}

// next returns the content of the frame at seq when it is ahead in this block, with no other before it but earlier ones.
func (c *blockCursor) next(seq, head uint64) []byte {
	for {
		front := c.peek(recordHead, seq, head)
		if front == nil {
			return nil
		}
		size, found := int(binary.LittleEndian.Uint32(front)&^headersBit), binary.LittleEndian.Uint64(front[4:])
		switch {
		case size < recordMin || size > recordMax:
			return nil
		case found == seq:
			return c.take(size, seq, head)
		case found > seq && found&(erasedBit|tombstoneBit) == 0:
			return nil
		}
		c.at += int64(size)
	}
}

// take reads the record of a frame, and checks it.
func (c *blockCursor) take(size int, seq, head uint64) []byte {
	raw := make([]byte, size)
	if piece := c.peek(size, seq, head); piece != nil {
		copy(raw, piece)
	} else if n, _ := c.file.ReadAt(raw, c.at); n < size {
		return nil
	}
	r, ok := c.scanner.record(raw)
	if !ok || r.seq != seq || r.erased || r.tombstone {
		return nil
	}
	c.at += int64(size)
	return r.payload
}

// peek returns the next n bytes; nil when they are more than a chunk, or than the file has.
func (c *blockCursor) peek(n int, seq, head uint64) []byte {
	if n > cursorChunk {
		return nil
	}
	from := c.at - c.chunkAt
	if seq > c.chunkHead || from < 0 || from+int64(n) > int64(len(c.chunk)) {
		c.fill(head)
		from = 0
	}
	if int(from)+n > len(c.chunk) {
		return nil
	}
	return c.chunk[from:][:n]
}

func (c *blockCursor) fill(head uint64) {
	if c.chunk == nil {
		c.chunk = make([]byte, cursorChunk)
	}
	n, _ := c.file.ReadAt(c.chunk[:cursorChunk], c.at)
	c.chunk, c.chunkAt, c.chunkHead = c.chunk[:n], c.at, head
}
