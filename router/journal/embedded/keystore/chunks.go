package keystore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"aka/router/journal/engine"
)

// WALs and manifests are files of records. They are made of blocks of 32 KiB, and a block of chunks, which end with it. A chunk
// has a header and a part of a record:
//
//	checksum (4), length (2), type (1)                                 in a manifest
//	checksum (4), length (2), type (1), log number (4)                 in the first WAL of a store, and at the end of a WAL
//	checksum (4), length (2), type (1), log number (4), synced (8)     in a WAL
//
// The checksum covers all from the type on. synced is how far the file was synced when the chunk was written, or less: Pebble
// counts too little after a record of more than a block.
// https://github.com/cockroachdb/pebble/blob/v2.1.7/record/record.go
const (
	blockBytes = 32 << 10
	pageBytes  = 4 << 10 // what a file system writes at once

	manifestHeader = 7
	oldWALHeader   = 11
	walHeader      = 19
)

// The types of chunks, less what their format adds: a record is in one chunk, or in a first, middles and a last one.
const (
	wholeChunk = iota
	firstChunk
	middleChunk
	lastChunk

	manifestTypes = 1
	oldWALTypes   = 5
	walTypes      = 9
	lastType      = walTypes + lastChunk
)

// chunkFile is the contents of a WAL or manifest.
type chunkFile struct {
	data []byte
	wal  bool
	log  uint32 // the low bits of a WAL's number
}

// chunk is a whole one. Its kind is one of wholeChunk and so on.
type chunk struct {
	end     int
	kind    int
	synced  uint64
	payload []byte
}

// verdict is what is at an offset of a file.
type verdict int

const (
	good    verdict = iota // a chunk
	padding                // the rest of the block is unused
	trailer                // the mark that a WAL was closed
	cut                    // a chunk that goes on behind the end of the file
	bad                    // something else
)

// walk calls visit for each record. It returns whether the file has the mark of a WAL that was closed, and engine.ErrDamaged for
// what is neither whole nor the torn end of a write that a crash interrupted.
func (f *chunkFile) walk(visit func(record []byte) error) (closed bool, err error) {
	var record []byte
	for off := 0; off < len(f.data); {
		c, v := f.at(off)
		switch v {
		case padding:
			off = blockEnd(off)
			continue
		case trailer:
			return true, nil
		case cut, bad:
			return false, f.judge(off, v)
		}
		off = c.end
		if c.kind == wholeChunk || c.kind == firstChunk {
			record = record[:0]
		}
		record = append(record, c.payload...)
		if c.kind == firstChunk || c.kind == middleChunk {
			continue
		}
		if err := visit(record); err != nil {
			return false, fmt.Errorf("record that ends at offset %d: %w", off, err)
		}
	}
	return false, nil
}

// rescue calls visit for each record that is whole, also behind places that are not. It returns how many such places there are.
func (f *chunkFile) rescue(visit func(record []byte)) (gaps int) {
	var record []byte
	open := false // a record was begun, and nothing of it is missing so far
	for off := 0; off < len(f.data); {
		c, v := f.at(off)
		switch v {
		case padding:
			off = blockEnd(off)
			continue
		case trailer:
			return gaps
		case cut, bad:
			gaps++
			open = false
			off = f.nextGood(off)
			continue
		}
		off = c.end
		if c.kind == wholeChunk || c.kind == firstChunk {
			record, open = record[:0], true
		}
		record = append(record, c.payload...)
		if open && (c.kind == wholeChunk || c.kind == lastChunk) {
			visit(record)
			open = false
		}
	}
	return gaps
}

// nextGood returns the offset of the next whole chunk, or the end of the file.
func (f *chunkFile) nextGood(off int) int {
	for off++; off < len(f.data); off++ {
		if _, v := f.at(off); v == good {
			return off
		}
	}
	return off
}

func blockEnd(off int) int { return (off/blockBytes + 1) * blockBytes }

// at looks at what is at an offset.
func (f *chunkFile) at(off int) (chunk, verdict) {
	end := min(blockEnd(off), len(f.data))
	rest := f.data[off:end]
	if blockEnd(off)-off < f.leastHeader() {
		if zero(rest) {
			return chunk{}, padding
		}
		return chunk{}, bad
	}
	if len(rest) < manifestHeader {
		return chunk{}, cut
	}
	header, kind := f.header(rest[6])
	switch {
	case header == 0:
		return chunk{}, bad
	case len(rest) < header:
		return chunk{}, cut
	case f.wal && binary.LittleEndian.Uint32(rest[7:]) != f.log:
		if f.isTrailer(rest) {
			return chunk{}, trailer
		}
		return chunk{}, bad
	}
	length := header + int(binary.LittleEndian.Uint16(rest[4:]))
	if length > len(rest) {
		if off+length > len(f.data) && off+length <= blockEnd(off) {
			return chunk{}, cut
		}
		return chunk{}, bad
	}
	if !sumFits(rest[:length]) {
		return chunk{}, bad
	}
	c := chunk{end: off + length, kind: kind, payload: rest[header:length]}
	if header == walHeader {
		c.synced = binary.LittleEndian.Uint64(rest[11:])
	}
	return c, good
}

// leastHeader is how much of a block is left unused where no chunk fits.
func (f *chunkFile) leastHeader() int {
	if f.wal {
		return walHeader
	}
	return manifestHeader
}

// header returns the length of the header of a type, and the kind of chunk. The length is 0 for a type that the file cannot have.
func (f *chunkFile) header(typ byte) (length, kind int) {
	switch {
	case f.wal && typ >= walTypes && typ <= lastType:
		return walHeader, int(typ) - walTypes
	case f.wal && typ >= oldWALTypes && typ < walTypes:
		return oldWALHeader, int(typ) - oldWALTypes
	case !f.wal && typ >= manifestTypes && typ < oldWALTypes:
		return manifestHeader, int(typ) - manifestTypes
	}
	return 0, 0
}

// isTrailer reports whether b begins with the mark at the end of a WAL: an empty chunk of the next log, without a checksum.
func (f *chunkFile) isTrailer(b []byte) bool {
	return zero(b[:6]) && b[6] == oldWALTypes && binary.LittleEndian.Uint32(b[7:]) == f.log+1
}

// sumFits reports whether a chunk has its checksum.
func sumFits(c []byte) bool {
	return binary.LittleEndian.Uint32(c) == checksum(c[6:])
}

// checksum is the one that Pebble uses everywhere.
func checksum(b []byte) uint32 {
	sum := crc32.Checksum(b, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// judge decides about the first place that has no whole chunk. It is the torn end of the file if a crash can have left it so:
// the file ends within the chunk, or a page is missing, which reads as zeros. A write is torn only before it was synced. So
// there is damage where a later chunk proves that this place had been synced.
func (f *chunkFile) judge(off int, v verdict) error {
	later, synced := f.later(off)
	switch {
	case synced || later && !f.wal: // each record of a manifest is synced before the next one
		return f.damage(off, "not a whole chunk, and later ones are")
	case v == cut && !later && !f.flippedLength(off), lostPage(f.data, off):
		return nil
	}
	return f.damage(off, "not a chunk, and not the torn end of one")
}

func (f *chunkFile) damage(off int, what string) error {
	return fmt.Errorf("%w: offset %d: %s", engine.ErrDamaged, off, what)
}

// later reports whether there is a whole chunk behind an offset, and whether one says that the file was synced beyond it.
func (f *chunkFile) later(off int) (later, synced bool) {
	for i := off + 1; i < len(f.data); i++ {
		if c, v := f.at(i); v == good {
			later = true
			if c.synced > uint64(off) {
				return true, true
			}
		}
	}
	return later, false
}

// flippedLength reports whether the chunk at an offset is whole but for one bit of its length.
func (f *chunkFile) flippedLength(off int) bool {
	rest := f.data[off:min(blockEnd(off), len(f.data))]
	if len(rest) < f.leastHeader() {
		return false
	}
	header, _ := f.header(rest[6])
	length := binary.LittleEndian.Uint16(rest[4:])
	for bit := range 16 {
		n := header + int(length^1<<bit)
		if n <= len(rest) && sumFits(rest[:n]) {
			return true
		}
	}
	return false
}

// lostPage reports whether a page behind an offset, or what the file has of it there, is all zeros.
func lostPage(data []byte, off int) bool {
	for off < len(data) {
		end := min((off/pageBytes+1)*pageBytes, len(data))
		if zero(data[off:end]) {
			return true
		}
		off = end
	}
	return false
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
