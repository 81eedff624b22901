package keystore

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

// open opens a folder for writing. From the look on it has the folder's lock, if there is one.
func open(dir string, o Options) (*Store, error) {
	fs := newWaitFS(dir, newFailure(), o)
	if err := fs.lockFolder(); err != nil {
		return nil, err
	}
	found, err := inspect(dir, o, inspectTables)
	var s *Store
	if err == nil {
		s, err = openCopy(dir, o, fs, found)
	}
	if err != nil {
		fs.seal(true)
		return nil, err
	}
	return s, nil
}

// openCopy opens a folder that was looked at. Pebble tries a flush that fails again and again, and some errors make it stop
// without a return, so the opening is left behind where one of them comes up.
func openCopy(dir string, o Options, fs *waitFS, found found) (*Store, error) {
	type opened struct {
		s   *Store
		err error
	}
	done := make(chan opened, 1)
	go func() {
		s, err := openStore(dir, o, fs, found)
		done <- opened{s, err}
	}()
	select {
	case r := <-done:
		return r.s, r.err
	case <-fs.fail.failed:
		return nil, fs.fail.reason()
	}
}

func openStore(dir string, o Options, fs *waitFS, found found) (*Store, error) {
	l := newListener(fs, o.Log)
	if !found.complete {
		if err := create(dir, o, l); err != nil {
			return nil, err
		}
	}
	db, err := openPebble(dir, o, l)
	if err != nil {
		return nil, err
	}
	s := newStore(dir, fs.fail, db)
	s.fs, s.wait = fs, o.CloseWait
	if err := s.start(o, found.directory.number); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// create makes an empty store. Pebble writes the first WAL of a database in an older format, without the offsets that tell
// damage from a torn end, so the database is opened once without a use.
func create(dir string, o Options, l *listener) error {
	if err := clearBeginnings(l.fs, dir); err != nil {
		return err
	}
	db, err := openPebble(dir, o, l)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return writeFormat(l.fs, dir)
}

// clearBeginnings removes what an interrupted create has left. The look has seen that there is no record in it. After a power
// cut, Pebble may be unable to go on from it.
func clearBeginnings(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		if err == nil && isBeginning(name) {
			err = fs.Remove(fs.PathJoin(dir, name))
		}
	}
	return err
}

func isBeginning(name string) bool {
	return critical(name) || isOptions(name) || strings.HasSuffix(name, ".dbtmp") || name == formatFile+".tmp"
}

// openPebble opens the database for writing.
func openPebble(dir string, o Options, l *listener) (*pebble.DB, error) {
	options := o.pebble(l.fs)
	options.Logger = l
	options.EventListener = l.events()
	options.EventListener.EnsureDefaults(l)
	return recovered(func() (*pebble.DB, error) { return pebble.Open(dir, options) })
}

// recovered turns a panic of open into an error.
func recovered(open func() (*pebble.DB, error)) (db *pebble.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("pebble panicked: %v", r)
			if cause, ok := r.(error); ok {
				err = fmt.Errorf("pebble panicked: %w", cause)
			}
		}
	}()
	return open()
}

// start makes an opened database a store. The number is what the look has found.
func (s *Store) start(o Options, number uint64) error {
	d, err := s.records.directory()
	if err != nil {
		return err
	}
	if d.number != number {
		return fmt.Errorf("%w: the last Apply is %d after opening, and was %d before", engine.ErrDamaged, d.number, number)
	}
	s.adopt(d)
	s.tidy = s.newTidier(o.tidyAfter)
	s.fail.notify(func(err error) {
		s.fs.seal(false)
		if o.OnFailed != nil {
			o.OnFailed(err)
		}
	})
	s.fs.enter(running)
	return s.fail.reason()
}
