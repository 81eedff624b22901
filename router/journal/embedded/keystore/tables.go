package keystore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

// tableReaders is how many tables are read at once.
const tableReaders = 2

// tables reads every block of every table that the database uses, but for aids, and checks it.
func (l *inspector) tables(db *pebble.DB) error {
	paths, err := l.tablePaths(db)
	if err != nil {
		return err
	}
	next := make(chan string)
	errs := make(chan error, len(paths))
	var readers sync.WaitGroup
	for range tableReaders {
		readers.Go(func() {
			for path := range next {
				errs <- l.table(path)
			}
		})
	}
	for _, path := range paths {
		next <- path
	}
	close(next)
	readers.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// isAid reports whether all keys between two are of records that are only an aid.
func (o *Options) isAid(from, to []byte) bool {
	first, firstKey, ok := splitRecordKey(from)
	last, lastKey, okLast := splitRecordKey(to)
	aid := []byte{o.Aid}
	return o.Aid != 0 && ok && okLast && first == last && bytes.HasPrefix(firstKey, aid) && bytes.HasPrefix(lastKey, aid)
}

// tablePaths returns the paths of the tables that are to be read, each once.
func (l *inspector) tablePaths(db *pebble.DB) (paths []string, err error) {
	levels, err := db.SSTables()
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for _, level := range levels {
		for _, t := range level {
			path := l.path(fmt.Sprintf("%s.sst", t.BackingSSTNum))
			if !seen[path] && !l.o.isAid(t.Smallest.UserKey, t.Largest.UserKey) {
				paths = append(paths, path)
			}
			seen[path] = true
		}
	}
	return paths, nil
}

func (l *inspector) table(path string) error {
	if err := l.readTable(path); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (l *inspector) readTable(path string) (err error) {
	defer recoverDamage(&err)
	f, err := l.o.FS.Open(path)
	if err != nil {
		return err
	}
	reader, err := l.openTable(f)
	if err != nil {
		return err
	}
	return errors.Join(checkBlocks(f, reader), reader.Close())
}

// checkBlocks checks the blocks of a table. ValidateBlockChecksums of Pebble would do, but it looks for the bit that is wrong in a
// damaged block, which takes a minute for a record of some megabytes.
func checkBlocks(f vfs.File, reader *sstable.Reader) error {
	layout, err := reader.Layout()
	if err != nil {
		return err
	}
	var buf []byte
	for _, b := range blocksOf(layout) {
		if b.Length == 0 {
			continue
		}
		buf = slices.Grow(buf[:0], int(b.Length)+block.TrailerLen)[:b.Length+block.TrailerLen]
		if _, err := f.ReadAt(buf, int64(b.Offset)); err != nil {
			return fmt.Errorf("block at offset %d: %w", b.Offset, err)
		}
		if !blockFits(buf) {
			return fmt.Errorf("%w: block of %d B at offset %d has another checksum", engine.ErrDamaged, b.Length, b.Offset)
		}
	}
	return nil
}

// blockFits reports whether a block has its checksum, which is at its end and covers all before, with the byte that says how the
// block is compressed.
func blockFits(b []byte) bool {
	end := len(b) - 4
	return binary.LittleEndian.Uint32(b[end:]) == checksum(b[:end])
}

func blocksOf(l *sstable.Layout) []block.Handle {
	blocks := []block.Handle{l.TopIndex, l.RangeDel, l.RangeKey, l.ValueIndex, l.Properties, l.MetaIndex, l.BlobReferenceIndex}
	for _, b := range l.Data {
		blocks = append(blocks, b.Handle)
	}
	for _, b := range l.Filter {
		blocks = append(blocks, b.Handle)
	}
	blocks = append(blocks, l.Index...)
	return append(blocks, l.ValueBlock...)
}

// openTable returns a reader that closes the file.
func (l *inspector) openTable(f vfs.File) (*sstable.Reader, error) {
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	options := l.o.pebble(l.o.FS)
	return sstable.NewReader(context.Background(), readable, options.MakeReaderOptions()) // closes the file if it fails
}
