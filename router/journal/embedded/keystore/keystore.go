// Package keystore keeps the journal's keyed records (progress, dead letters, parked calls, merges) of each destination in
// Pebble. Apply changes the records of one destination and returns once they are safe on disk. Open looks at every byte that
// counts before it writes the first one, and refuses a damaged folder by the name of the damaged file.
package keystore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"aka/router/journal/engine"
)

// Options are what a store needs from its owner. The zero value works.
type Options struct {
	// FS is where the folder is. Nil is the file system of the machine.
	FS vfs.FS
	// Log gets warnings about the disk and about damage that is found while the store runs. Nil is none. Its lines are bounded in
	// number.
	Log *zap.Logger
	// OnFailed is called once when the store fails, before Failed is closed. A failure of Open or Close is only returned.
	OnFailed func(error)
	// Verify is called by Open and OpenReadOnly of a store that exists, before anything is written, with its records and the
	// number of its last Apply. An error refuses the open: the records are not what they should be. A new store is not verified.
	// The records can be read until Verify returns.
	Verify func(records Records, number uint64) error
	// Aid, where it is not 0, is the first byte of the keys of records that are only an aid, of which there may be millions. Open
	// does not read the tables that hold nothing else: what is damaged there shows when it is read.
	Aid byte
	// CloseWait bounds each of the two waits of Close. 0 is five seconds.
	CloseWait time.Duration

	// for tests
	adjust          func(*pebble.Options)
	poll, tidyAfter time.Duration
}

// Records is the reading half of a store. Its methods are those of engine.View.
type Records interface {
	Destinations(ctx context.Context) ([]string, error)
	Get(ctx context.Context, destination string, key []byte) ([]byte, error)
	Scan(ctx context.Context, destination string, from, to []byte, visit func(key, value []byte) (more bool, err error)) error
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.CloseWait == 0 {
		o.CloseWait = closeWait
	}
	if o.poll == 0 {
		o.poll = poll
	}
	if o.tidyAfter == 0 {
		o.tidyAfter = tidyAfter
	}
	if o.adjust == nil {
		o.adjust = func(*pebble.Options) {}
	}
	return o
}

// Store is an open folder of records. It is safe for concurrent use.
type Store struct {
	dir     string
	wait    time.Duration // of Close
	fs      *waitFS
	db      *pebble.DB
	records records
	fail    *failure
	tidy    *tidier
	users   userCount // of db

	// turn is held while a number is given out and its batch is queued for the WAL, so that the order of numbers is the order of
	// the WAL. It also guards directory.
	turn      turn
	directory directory
	// unsynced counts the Applies that are queued and not yet safe. It grows only under turn.
	unsynced sync.WaitGroup
	durable  atomic.Uint64

	close struct {
		sync.Once
		err error
	}
}

// Open opens the store in dir for writing, and creates it where there is none. It first looks at the folder without writing:
// where something is damaged or missing, the error wraps engine.ErrDamaged and has the path of the file, and the folder is
// unchanged. A full disk is an error of Open, too; it does not wait. One store at a time has a folder open for writing.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	dir = o.FS.PathJoin(dir) // as Pebble writes it
	s, err := open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open records in %s: %w", dir, err)
	}
	return s, nil
}

// OpenReadOnly opens the store in dir for reading. It changes no byte of the folder and takes no lock, and refuses what Open
// refuses, except that damage in a table is an error of the Get or Scan that meets it. While another process writes to the
// store, the files may change under the look, and OpenReadOnly may fail without damage.
func OpenReadOnly(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	dir = o.FS.PathJoin(dir)
	s, err := openReadOnly(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open records in %s for reading: %w", dir, err)
	}
	return s, nil
}

// Number returns the number of the last Apply that is safe on disk; all before it are, too. It is 0 before the first.
func (s *Store) Number() uint64 { return s.durable.Load() }

// Size returns how many bytes the store takes on disk.
func (s *Store) Size() uint64 {
	if s.users.acquire() != nil {
		return 0
	}
	defer s.users.release()
	return s.db.Metrics().DiskSpaceUsage()
}

// Waiting reports whether a write is waiting for room on the disk.
func (s *Store) Waiting() bool { return s.fs != nil && s.fs.waiting() }

// Failed is closed when the store has failed for good: a write or sync of its log or manifest went wrong. The process should
// end soon after, because parts of the store wait without end. Reads may still work.
func (s *Store) Failed() <-chan struct{} { return s.fail.failed }

// Err returns why the store failed, or nil.
func (s *Store) Err() error { return s.fail.reason() }

var errReadOnly = errors.New("the store is open for reading only")

// openReadOnly looks at the folder and keeps what the look has opened.
func openReadOnly(dir string, o Options) (*Store, error) {
	found, err := inspect(dir, o, keepOpen)
	if err != nil {
		return nil, err
	}
	if found.db == nil {
		return nil, fmt.Errorf("%w: there is no store in this folder", engine.ErrDamaged)
	}
	s := newStore(dir, newFailure(), found.db)
	s.adopt(found.directory)
	return s, nil
}

func newStore(dir string, fail *failure, db *pebble.DB) *Store {
	s := &Store{dir: dir, fail: fail, db: db, records: records{db: db}, turn: newTurn()}
	s.users.init()
	return s
}

// adopt takes over what the folder says about numbers.
func (s *Store) adopt(d directory) {
	s.directory = d
	s.durable.Store(d.number)
}
