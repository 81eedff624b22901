package keystore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// tableReaders is how many tables are read at once.
const tableReaders = 2

// tables reads every block of every table that the database uses, and checks its checksum.
func (l *looker) tables(db *pebble.DB) error {
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

// tablePaths returns the paths of the tables, each once.
func (l *looker) tablePaths(db *pebble.DB) (paths []string, err error) {
	levels, err := db.SSTables()
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for _, level := range levels {
		for _, t := range level {
			path := l.path(fmt.Sprintf("%s.sst", t.BackingSSTNum))
			if !seen[path] {
				paths = append(paths, path)
			}
			seen[path] = true
		}
	}
	return paths, nil
}

func (l *looker) table(path string) error {
	if err := l.readTable(path); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (l *looker) readTable(path string) (err error) {
	defer recoverDamage(&err)
	reader, err := l.openTable(path)
	if err != nil {
		return err
	}
	return errors.Join(reader.ValidateBlockChecksums(), reader.Close())
}

func (l *looker) openTable(path string) (*sstable.Reader, error) {
	f, err := l.o.FS.Open(path)
	if err != nil {
		return nil, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	options := l.o.pebble(l.o.FS)
	return sstable.NewReader(context.Background(), readable, options.MakeReaderOptions()) // closes the file if it fails
}
