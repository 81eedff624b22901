package keystore

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"

	"aka/router/journal/engine"
)

// found is what a look at a folder has found.
type found struct {
	// complete is set for a store. It is not where the folder has nothing, or the beginnings of a store without a record.
	complete  bool
	directory directory
	db        *pebble.DB // open for reading, if keepOpen was asked for
}

// depth is how far a look goes.
type depth int

const (
	inspectTables depth = iota // checks all that is stored, and closes the database
	keepOpen                   // does not check the tables, and returns the open database
)

// inspect reads a folder without changing it and returns what it holds. It returns an error where something is damaged or
// missing. Pebble by itself takes a damaged manifest or WAL for one that ends there, and then deletes the tables that the rest
// would have named; so all of them are read here first.
func inspect(dir string, o Options, depth depth) (found, error) {
	names, err := o.FS.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return found{}, nil
	}
	if err != nil {
		return found{}, err
	}
	complete, err := readFormat(o.FS, dir)
	if err != nil {
		return found{}, err
	}
	l := inspector{dir: dir, o: o, names: names}
	if !complete {
		return found{}, l.beginnings()
	}
	f, err := l.store(depth)
	if err != nil {
		return found{}, asDamage(err)
	}
	return f, nil
}

// asDamage marks an error of the look as damage, unless it is one of the machine.
func asDamage(err error) error {
	for _, e := range []error{engine.ErrDamaged, errRefused, os.ErrPermission, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", engine.ErrDamaged, err)
}

// errRefused marks an error of Options.Verify, which is returned as it is.
var errRefused = errors.New("refused")

// inspector looks at one folder.
type inspector struct {
	dir   string
	o     Options
	names []string // of the files in it
	// lenient opens a database that lacks tables.
	lenient bool
}

func (l *inspector) path(name string) string { return l.o.FS.PathJoin(l.dir, name) }

// beginnings returns an error unless a folder without format file has no records. Such a folder is empty, or the making of its
// store was interrupted.
func (l *inspector) beginnings() error {
	for _, name := range l.names {
		some := isTable(name)
		if isWAL(name) {
			if _, err := l.readWAL(l.path(name), func(uint64) error { some = true; return nil }); err != nil {
				return err
			}
		}
		if some {
			return fmt.Errorf("%w: %s: missing, and %s is there", engine.ErrDamaged, l.path(formatFile), name)
		}
	}
	return nil
}

// store looks at a folder that holds a store.
func (l *inspector) store(depth depth) (f found, err error) {
	if err := l.manifest(); err != nil {
		return found{}, err
	}
	inTables, err := l.numberInTables()
	if err != nil {
		return found{}, err
	}
	fs := &readOnlyFS{FS: l.o.FS}
	db, openErr := l.open(fs)
	if err := errors.Join(l.wals(fs, inTables, db), openErr); err != nil {
		return found{}, errors.Join(err, closeIf(db))
	}
	f = found{complete: true, db: db}
	f.directory, err = l.contents(db, depth)
	if err == nil && depth == keepOpen {
		return f, nil
	}
	f.db = nil
	return f, errors.Join(err, db.Close())
}

func closeIf(db *pebble.DB) error {
	if db == nil {
		return nil
	}
	return db.Close()
}

// manifest checks the chunks of the manifest that the marker names.
func (l *inspector) manifest() error {
	name, err := atomicfs.ReadMarker(l.o.FS, l.dir, "manifest")
	if err != nil {
		return err
	}
	if name == "" {
		return fmt.Errorf("%w: %s: missing", engine.ErrDamaged, l.path("marker.manifest.*"))
	}
	data, err := readFile(l.o.FS, l.path(name))
	if err != nil {
		return fmt.Errorf("%s: %w", l.path(name), err)
	}
	file := chunkFile{data: data}
	if _, err := file.walk(func([]byte) error { return nil }); err != nil {
		return fmt.Errorf("%s: %w", l.path(name), err)
	}
	return nil
}

func isOptions(name string) bool { return strings.HasPrefix(name, "OPTIONS-") }

// numberInTables returns the number of the last Apply that is in tables. The WALs go on from there.
func (l *inspector) numberInTables() (uint64, error) {
	db, err := l.open(&readOnlyFS{FS: l.o.FS, hidden: isWAL})
	if err != nil {
		return 0, err
	}
	d, err := records{db: db}.directory()
	return d.number, errors.Join(err, db.Close())
}

// open opens the database for reading.
func (l *inspector) open(fs *readOnlyFS) (*pebble.DB, error) {
	options := l.o.pebble(fs)
	options.ReadOnly = true
	options.DisableConsistencyCheck = l.lenient
	db, err := recovered(func() (*pebble.DB, error) { return pebble.Open(l.dir, options) })
	if err != nil {
		return nil, fmt.Errorf("after opening %s: %w", fs.lastOpened(), err)
	}
	return db, nil
}

// wals checks the WALs that Pebble read: that their chunks are whole, and that the numbers in them go on from those in the tables
// without a gap up to the number that the database has.
func (l *inspector) wals(fs *readOnlyFS, number uint64, db *pebble.DB) error {
	paths := fs.walsRead()
	for i, path := range paths {
		before := number
		closed, err := l.readWAL(path, func(n uint64) error {
			if n > number+1 {
				return fmt.Errorf("%w: has the Apply %d, and those from %d on are missing", engine.ErrDamaged, n, number+1)
			}
			number = max(number, n)
			return nil
		})
		if err != nil {
			return err
		}
		if !closed && i < len(paths)-1 {
			return fmt.Errorf("%w: %s: ends without its mark, after the Apply %d", engine.ErrDamaged, path, max(before, number))
		}
	}
	if db == nil {
		return nil
	}
	d, err := records{db: db}.directory()
	if err == nil && d.number != number {
		err = fmt.Errorf("%w: %s: the last Apply is %d, and the directory has %d", engine.ErrDamaged,
			strings.Join(paths, ", "), number, d.number)
	}
	return err
}

// readWAL reads a WAL and calls visit with the number of each Apply in it. It returns whether the WAL was closed.
func (l *inspector) readWAL(path string, visit func(number uint64) error) (closed bool, err error) {
	file, err := l.openWAL(path)
	if err != nil {
		return false, err
	}
	closed, err = file.walk(func(batch []byte) error {
		number, ok, err := numberOf(batch)
		if err != nil || !ok {
			return err
		}
		return visit(number)
	})
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return closed, nil
}

func (l *inspector) openWAL(path string) (*chunkFile, error) {
	log, err := strconv.ParseUint(strings.TrimSuffix(l.o.FS.PathBase(path), ".log"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: not the name of a WAL", engine.ErrDamaged, path)
	}
	data, err := readFile(l.o.FS, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &chunkFile{data: data, wal: true, log: uint32(log)}, nil
}

// numberOf returns the number of the Apply that a batch is, and whether it is one.
func numberOf(batch []byte) (number uint64, ok bool, err error) {
	r := batchrepr.Read(batch)
	for {
		kind, key, value, more, err := r.Next()
		if err != nil {
			return 0, false, fmt.Errorf("%w: batch: %w", engine.ErrDamaged, err)
		}
		if !more {
			return 0, false, nil
		}
		if kind == pebble.InternalKeyKindSet && slices.Equal(key, directoryKey) {
			d, err := decodeDirectory(value)
			return d.number, err == nil, err
		}
	}
}

// contents checks the records of an open database, and returns the directory.
func (l *inspector) contents(db *pebble.DB, depth depth) (directory, error) {
	r := records{db: db}
	d, err := r.directory()
	if err != nil {
		return d, err
	}
	if err := errors.Join(d.check(), l.marks(r, d)); err != nil {
		return d, fmt.Errorf("%s: %w", l.dir, err)
	}
	if l.o.Verify != nil {
		if err := l.o.Verify(r, d.number); err != nil {
			return d, fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	if depth == keepOpen {
		return d, nil
	}
	return d, l.tables(db)
}

// marks checks that each destination has the number by itself that the directory has for it.
func (l *inspector) marks(r records, d directory) error {
	for _, name := range d.names() {
		b, err := r.get(markKey(name))
		if errors.Is(err, engine.ErrNoRecord) {
			return fmt.Errorf("%w: the number of %s is missing, expected %d", engine.ErrDamaged, name, d.last[name])
		}
		if err != nil {
			return err
		}
		n, err := decodeNumber(b)
		if err == nil && n != d.last[name] {
			err = fmt.Errorf("%w: the number of %s is %d, expected %d", engine.ErrDamaged, name, n, d.last[name])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Verify looks at the store in dir as Open does before it writes, and changes nothing. It returns the number of the last Apply,
// or the error with which Open would refuse the folder.
func Verify(dir string, o Options) (number uint64, err error) {
	o = o.withDefaults()
	found, err := inspect(o.FS.PathJoin(dir), o, inspectTables)
	if err != nil {
		return 0, fmt.Errorf("verify records in %s: %w", dir, err)
	}
	return found.directory.number, nil
}
