// Package embedded is the journal's engine in one folder of this machine: frames in a segment log (package seglog), keyed
// records in Pebble (package keystore). It opens nothing before it has looked at everything, and refuses to go on with less
// than there was.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"aka/router/journal/embedded/keystore"
	"aka/router/journal/embedded/seglog"
	"aka/router/journal/engine"
)

// Options say where the engine stores, and how much.
type Options struct {
	// Dir is the folder. It is made when it is missing.
	Dir string
	// MaxBytes bounds the log, not the records. 0 does not.
	MaxBytes int64
	// Verify is asked before anything is changed, with what is stored: its error refuses the folder. Nil accepts.
	Verify func(engine.View) error
	// Aid is the first byte of the keys of records that are only an aid, of which there may be millions: see keystore.Options.
	Aid byte
	// FS is how log and records reach their files; nil is the operating system. The folder's identity and lock go past it.
	FS  vfs.FS
	Log *zap.Logger

	// for tests
	segmentBytes int64 // 0 derives it from MaxBytes
	closeWait    time.Duration
}

func (o *Options) logPath() string    { return filepath.Join(o.Dir, logFolder) }
func (o *Options) recordPath() string { return filepath.Join(o.Dir, recordFolder) }

const (
	// reserve is how much of the disk is left to the records: progress that is saved is what makes room again.
	reserve = 8 << 20
	// slowOpen is when an open that goes on says so.
	slowOpen = 5 * time.Second
	// abandonOpen is how long an open that is not wanted any more may take to end. A disk that hangs is not waited for.
	abandonOpen = time.Second
	// slowWrite is how long a write may take before the engine is not writable.
	slowWrite = 4 * time.Second
	// minSegment and maxSegment bound a segment of the log. The log is trimmed by whole ones, so a small log has small ones.
	minSegment, maxSegment = 1 << 20, 64 << 20
	segmentsInLog          = 8
)

// Engine implements engine.Engine.
type Engine struct {
	options Options
	lock    *os.File
	log     *seglog.Log
	records *keystore.Store

	closed  atomic.Bool
	full    atomic.Bool  // the disk was full when it was asked last
	writing atomic.Int64 // when the write under way began, in nanoseconds since 1970; 0 for none
}

// Open opens the engine in its folder. When it fails, it has changed nothing there but what an interrupted creation left.
// Where it takes long, the log says so; it fails when ctx ends.
func Open(ctx context.Context, o Options) (*Engine, error) {
	type result struct {
		engine *Engine
		err    error
	}
	opened := make(chan result, 1)
	go func() {
		e, err := open(o)
		opened <- result{e, err}
	}()
	slow := time.NewTimer(slowOpen)
	defer slow.Stop()
	for {
		select {
		case r := <-opened:
			return r.engine, withoutRoomFor(r.err)
		case <-slow.C:
			o.Log.Warn("opening the journal takes long", zap.String("dir", o.Dir), zap.String("hint", "it reads its files; is the disk slow?"))
		case <-ctx.Done():
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				if r := <-opened; r.engine != nil {
					_ = r.engine.Close()
				}
			}()
			select {
			case <-closed:
			case <-time.After(abandonOpen):
			}
			return nil, ctx.Err()
		}
	}
}

// withoutRoomFor says where to look when a disk is full: one that has bytes left may have no inode.
func withoutRoomFor(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w; make room: df -h shows what bytes are free, df -i what inodes", err)
	}
	return err
}

func open(o Options) (*Engine, error) {
	if _, err := examineFolder(o.Dir); err != nil {
		return nil, err // before anything is written there
	}
	lock, err := takeFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	return openLocked(o, lock)
}

// openLocked opens the folder, which this process has taken. The look before that is out of date: the process that had the
// folder may have made a journal there.
func openLocked(o Options, lock *os.File) (*Engine, error) {
	e := &Engine{options: o, lock: lock}
	state, err := examineFolder(o.Dir)
	switch {
	case err != nil:
	case state == folderNew:
		err = e.create()
	default:
		err = e.openParts()
	}
	if err != nil {
		_ = e.Close()
		return nil, err
	}
	if isOpenToOthers(o.Dir) {
		o.Log.Warn("journal folder is open to other users", zap.String("dir", o.Dir), zap.String("hint", "it holds people's calls: chmod 700"))
	}
	return e, nil
}

// create makes a new journal. Until its folder says what it is, it takes no calls: what an interrupted creation left is empty.
func (e *Engine) create() error {
	creating := filepath.Join(e.options.Dir, creatingFile)
	if err := writeDurably(creating, nil); err != nil {
		return err
	}
	for _, dir := range []string{e.options.logPath(), e.options.recordPath()} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	// From now on an empty log has a file that must be there.
	empty, err := seglog.Create(e.options.logPath(), 1, e.logOptions())
	if err == nil {
		err = empty.Finish(1, 0)
	}
	if err != nil {
		return err
	}
	if err := e.openForWriting(nil); err != nil {
		return err
	}
	return endCreation(e.options.Dir)
}

// whatNext ends every refusal.
const whatNext = `put the files back, or see "aka journal check" and "aka journal salvage"`

// openParts opens what a folder holds, after a look at all of it that changes nothing.
func (e *Engine) openParts() error {
	if missing := missingParts(e.fs(), e.options.Dir); len(missing) > 0 {
		return refused(missing[0])
	}
	log, err := seglog.OpenReadOnly(e.options.logPath(), e.logOptions())
	if err != nil {
		return refused(err)
	}
	defer func() { _ = log.Close() }()
	return e.openForWriting(func(records keystore.Records, number uint64) error {
		if mark := log.Mark(); number < mark {
			return fmt.Errorf("%w: %s ends with change %d, and %d was durable: its newest files are missing or cut", ErrBroken, e.options.recordPath(), number, mark)
		}
		if e.options.Verify == nil {
			return nil
		}
		return e.options.Verify(both{log, records})
	})
}

// refused says what to do about a folder that is not whole.
func refused(err error) error {
	if errors.Is(err, engine.ErrDamaged) && !errors.Is(err, ErrBroken) {
		err = fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if !errors.Is(err, ErrBroken) {
		return err // as a full disk
	}
	return refusal{err}
}

// refusal is an error of one line that says what to do. Pebble's errors may have several.
type refusal struct{ error }

func (r refusal) Error() string {
	lines := strings.Split(r.error.Error(), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return strings.TrimSpace(line) == "" || strings.Contains(line, "detail carrier>")
	})
	return strings.Join(lines, " ") + "; " + whatNext
}

func (r refusal) Unwrap() error { return r.error }

// openForWriting opens the records first: theirs is the look that may refuse.
func (e *Engine) openForWriting(verify func(keystore.Records, uint64) error) (err error) {
	e.records, err = keystore.Open(e.options.recordPath(), keystore.Options{FS: e.fs(), Log: e.options.Log, Verify: verify, OnFailed: e.onFailed, Aid: e.options.Aid, CloseWait: e.options.closeWait})
	if err == nil {
		e.log, err = seglog.Open(e.options.logPath(), e.logOptions())
	}
	if err != nil {
		return refused(err)
	}
	return nil
}

func (e *Engine) logOptions() seglog.Options {
	if e.options.segmentBytes > 0 {
		return seglog.Options{SegmentBytes: e.options.segmentBytes, FS: e.fs()}
	}
	size := int64(maxSegment)
	if e.options.MaxBytes > 0 {
		size = min(size, max(e.options.MaxBytes/segmentsInLog, minSegment))
	}
	return seglog.Options{SegmentBytes: size, FS: e.fs()}
}

func (e *Engine) onFailed(err error) {
	e.options.Log.Error("journal store has failed", zap.Error(err), zap.String("hint", "the process ends; what was answered 200 is safe"))
}

// both is the log and the records as one view.
type both struct {
	log *seglog.Log
	keystore.Records
}

func (b both) Bounds(context.Context) (first, last uint64, err error) {
	first, last = b.log.Bounds()
	return first, last, nil
}

func (b both) Reader(from uint64) engine.Reader { return b.log.Reader(from) }

// Findings returns what was damaged when the engine was opened.
func (e *Engine) Findings() []engine.Finding { return e.log.Findings() }

// Append implements engine.Engine.
func (e *Engine) Append(_ context.Context, frames [][]byte, after uint64) (uint64, error) {
	if e.records.Err() != nil {
		return 0, engine.ErrFailed
	}
	size := 0
	for _, f := range frames {
		size += len(f)
	}
	if err := e.room(size); err != nil {
		return 0, err
	}
	e.writing.Store(time.Now().UnixNano())
	defer e.writing.Store(0)
	last, err := e.log.Append(frames, after, e.records.Number())
	switch {
	case errors.Is(err, engine.ErrFull):
		return 0, fmt.Errorf("%w: %v", engine.ErrNoSpace, err) // not engine.ErrFull, which is the limit
	case err == nil, errors.Is(err, engine.ErrNotLast), errors.Is(err, engine.ErrClosed):
		return last, err
	}
	// The log knows that it is not there in this run; the file may have it for the next.
	return 0, fmt.Errorf("%w: %w", engine.ErrUnsure, err)
}

// room fails where so many bytes have no room: with engine.ErrFull by the limit, with engine.ErrNoSpace on the disk. To ask
// first spares the disk a write that fails, and leaves what little there is to the records.
func (e *Engine) room(bytes int) error {
	taken, _, _ := e.log.Size()
	if limit := e.options.MaxBytes; limit > 0 && taken+int64(bytes) > limit {
		return fmt.Errorf("%w: %d of %d bytes of journal.max_bytes are taken", engine.ErrFull, taken, limit)
	}
	free, err := e.free()
	full := err == nil && free < uint64(bytes)+reserve
	if e.full.Swap(full) != full {
		e.reportFull(full, free)
	}
	if full {
		return fmt.Errorf("%w: %s has %d bytes left", engine.ErrNoSpace, e.options.Dir, free)
	}
	return nil
}

func (e *Engine) reportFull(full bool, free uint64) {
	if full {
		e.options.Log.Error("disk is full, calls are answered 503", zap.Uint64("free", free), zap.String("hint", "make room; aka goes on by itself"))
		return
	}
	e.options.Log.Info("disk has room again", zap.Uint64("free", free))
}

func (e *Engine) free() (uint64, error) {
	usage, err := e.fs().GetDiskUsage(e.options.Dir)
	return usage.AvailBytes, err
}

func (e *Engine) fs() vfs.FS {
	if e.options.FS != nil {
		return e.options.FS
	}
	return private
}

// Apply implements engine.Engine.
func (e *Engine) Apply(ctx context.Context, destination string, changes []engine.Change) error {
	_, err := e.records.Apply(ctx, destination, changes)
	return err
}

// Trim implements engine.Engine. It removes whole segments.
func (e *Engine) Trim(_ context.Context, below uint64) error {
	return e.log.Trim(below, e.records.Number())
}

// Bounds implements engine.View.
func (e *Engine) Bounds(context.Context) (first, last uint64, err error) {
	first, last = e.log.Bounds()
	return first, last, nil
}

// Reader implements engine.View.
func (e *Engine) Reader(from uint64) engine.Reader { return e.log.Reader(from) }

// Destinations implements engine.View.
func (e *Engine) Destinations(ctx context.Context) ([]string, error) {
	return e.records.Destinations(ctx)
}

// Get implements engine.View.
func (e *Engine) Get(ctx context.Context, destination string, key []byte) ([]byte, error) {
	return e.records.Get(ctx, destination, key)
}

// Scan implements engine.View.
func (e *Engine) Scan(ctx context.Context, destination string, from, to []byte, visit func(key, value []byte) (bool, error)) error {
	return e.records.Scan(ctx, destination, from, to, visit)
}

// Stats implements engine.Engine.
func (e *Engine) Stats(context.Context) (engine.Stats, error) {
	bytes, frames, _ := e.log.Size()
	stats := engine.Stats{LogBytes: uint64(bytes), LogMaxBytes: uint64(e.options.MaxBytes), Frames: frames, RecordBytes: e.records.Size()}
	if free, err := e.free(); err == nil {
		stats.DiskFree = free
	}
	return stats, nil
}

// Writable implements engine.Engine.
func (e *Engine) Writable(_ context.Context, bytes int) error {
	switch {
	case e.closed.Load():
		return engine.ErrClosed
	case e.records.Err() != nil:
		return engine.ErrFailed
	}
	if began := e.writing.Load(); began > 0 && time.Since(time.Unix(0, began)) > slowWrite {
		return fmt.Errorf("%w: the disk has not answered a write for %s", engine.ErrUnsure, slowWrite)
	}
	return e.room(bytes)
}

// Backup implements engine.Engine. The copy takes no room for the segments of the log that are complete, as long as both are
// on one disk: they are hard links.
func (e *Engine) Backup(ctx context.Context, dir string) error {
	switch state, err := examineFolder(dir); {
	case err != nil:
		return fmt.Errorf("backup to %s: expected a new or empty folder: %w", dir, err)
	case state != folderNew:
		return fmt.Errorf("backup to %s: expected a new or empty folder: it holds a journal", dir)
	}
	if err := os.MkdirAll(filepath.Join(dir, logFolder), 0o700); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	// No change is made meanwhile. So the records are as new as any frame of the copy says, and know no later one.
	err := e.records.Checkpoint(ctx, filepath.Join(dir, recordFolder), func() error {
		_, err := e.log.Backup(filepath.Join(dir, logFolder))
		return err
	})
	if err == nil {
		err = writeIdentity(dir)
	}
	if err != nil {
		return fmt.Errorf("backup to %s: %w", dir, err)
	}
	return nil
}

// Failed implements engine.Engine.
func (e *Engine) Failed() <-chan struct{} { return e.records.Failed() }

// Close implements engine.Engine.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return nil
	}
	var problems []error
	if e.log != nil {
		problems = append(problems, e.log.Close())
	}
	if e.records != nil {
		problems = append(problems, e.records.Close())
	}
	return errors.Join(append(problems, e.lock.Close())...)
}
