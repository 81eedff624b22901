package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/embedded/keystore"
	"aka/router/journal/embedded/seglog"
	"aka/router/journal/engine"
)

// Inspection is a look at every file of a folder. It has changed nothing.
type Inspection struct {
	// Log is what the log holds.
	Log seglog.Report
	// Records are the keyed records; nil where they cannot be opened.
	Records keystore.Records
	// Problems are what is wrong with the folder and its records, each with a file. Those of the log are in Log.
	Problems []string

	store   *keystore.Store
	release func()
}

// Inspect reads the folder and calls visit for every frame of the log, in order, those that cannot be read too. It fails
// when the folder holds no journal (ErrNoJournal, ErrOtherVersion), when a process has it (ErrInUse), and when it cannot be
// read. The caller closes the inspection: until then no aka can open the folder.
func Inspect(dir string, visit func(engine.Frame)) (*Inspection, error) {
	i := &Inspection{}
	state, err := examineFolder(dir)
	switch {
	case errors.Is(err, ErrBroken):
		i.problem(err)
	case err != nil:
		return nil, err
	case state == folderNew:
		return nil, fmt.Errorf("%w: nothing in %s", ErrNoJournal, dir)
	}
	if i.release, err = borrowFolder(dir); err != nil {
		return nil, err
	}
	if err := i.inspect(dir, visit); err != nil {
		i.Close()
		return nil, err
	}
	return i, nil
}

func (i *Inspection) problem(err error) { i.Problems = append(i.Problems, err.Error()) }

func (i *Inspection) inspect(dir string, visit func(engine.Frame)) (err error) {
	for _, missing := range missingParts(vfs.Default, dir) {
		i.problem(missing)
	}
	i.Log, err = seglog.Check(filepath.Join(dir, logFolder), seglog.Options{}, visit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	records := filepath.Join(dir, recordFolder)
	if _, err := os.Stat(records); err != nil {
		return nil
	}
	if i.store, err = keystore.OpenReadOnly(records, keystore.Options{}); err != nil {
		i.problem(err)
		return nil
	}
	i.Records = i.store
	if number := i.store.Number(); number < i.Log.Mark {
		i.problem(fmt.Errorf("%w: %s ends with change %d, and %d was durable", ErrBroken, records, number, i.Log.Mark))
	}
	return nil
}

// Close releases the folder.
func (i *Inspection) Close() {
	if i.store != nil {
		_ = i.store.Close()
	}
	i.release()
}

// EachRecord calls visit for every record that can be read in a folder, in no order, also where the records cannot be
// opened: see keystore.Salvage. The problems say what could not be read.
func EachRecord(dir string, visit func(destination string, key, value []byte) error) (problems []string, err error) {
	path := filepath.Join(dir, recordFolder)
	if _, err := os.Stat(path); err != nil {
		return []string{err.Error()}, nil
	}
	return keystore.Salvage(path, keystore.Options{}, visit)
}

// Target is a new journal that is made of what can be read of another.
type Target struct {
	dir     string
	log     *seglog.Writer
	records *keystore.Store
}

// CreateTarget begins a journal in a folder that does not exist or is empty. first is the sequence of its first frame. Until
// Finish, the folder is refused as one that is not whole.
func CreateTarget(dir string, first uint64) (*Target, error) {
	state, err := examineFolder(dir)
	if err != nil {
		return nil, err
	}
	if state != folderNew {
		return nil, fmt.Errorf("%s holds a journal: name a new folder", dir)
	}
	t := &Target{dir: dir}
	if err := os.MkdirAll(filepath.Join(dir, logFolder), 0o700); err != nil {
		return nil, err
	}
	if t.log, err = seglog.Create(filepath.Join(dir, logFolder), first, seglog.Options{FS: private}); err != nil {
		return nil, err
	}
	t.records, err = keystore.Open(filepath.Join(dir, recordFolder), keystore.Options{FS: private})
	return t, err
}

// Frame adds a frame. Its sequence is higher than that of the frame before.
func (t *Target) Frame(seq uint64, data []byte) error { return t.log.WriteFrame(seq, data) }

// Apply changes records, as engine.Engine's does.
func (t *Target) Apply(ctx context.Context, destination string, changes []engine.Change) error {
	_, err := t.records.Apply(ctx, destination, changes)
	return err
}

// Finish completes the journal. next is the sequence of the frame that will be appended to it first.
func (t *Target) Finish(next uint64) error {
	err := t.log.Finish(next, t.records.Number())
	if err == nil {
		err = writeIdentity(t.dir)
	}
	return errors.Join(err, t.records.Close())
}

// EachFrame calls visit for every frame that the log has, in order, those that cannot be read too. It takes no lock and changes
// nothing, so that a process may have the folder: what that appends meanwhile may be left out.
func EachFrame(ctx context.Context, dir string, visit func(engine.Frame) error) error {
	switch state, err := examineFolder(dir); {
	case err != nil && !errors.Is(err, ErrBroken):
		return err
	case state == folderNew && err == nil:
		return fmt.Errorf("%w: nothing in %s", ErrNoJournal, dir)
	}
	log, err := seglog.OpenReadOnly(filepath.Join(dir, logFolder), seglog.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	frames := log.Reader(0)
	defer frames.Close()
	for {
		frame, err := frames.Next(ctx)
		switch {
		case errors.Is(err, engine.ErrEnd):
			return nil
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("the journal in %s went on while it was read, try again: %w", dir, err)
		case err != nil:
			return err
		}
		if err := visit(frame); err != nil {
			return err
		}
	}
}
