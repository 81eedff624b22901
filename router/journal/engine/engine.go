// Package engine is the seam between the journal and what stores it. The journal knows calls, progress and dead letters; an
// engine knows numbered frames and keyed records, as bytes. Nothing above this package knows files.
//
// An engine makes two kinds of writes: Append adds frames to the log, Apply changes the records of one destination. Each is
// durable by itself. A frame is there as a whole or not at all, and so is an Apply. Nothing is atomic over both, and nothing
// over two destinations: after a crash, either may be ahead of the other. Package enginetest holds every engine to this.
package engine

import (
	"context"
	"errors"
	"time"
)

// Errors of an engine, to be tested with errors.Is.
var (
	// ErrFull means that the log has reached its limit. Nothing was stored.
	ErrFull = errors.New("the log is full")
	// ErrNoSpace means that the disk is full. Nothing was stored.
	ErrNoSpace = errors.New("the disk is full")
	// ErrNotLast means that the log does not end where Append expected it. Nothing was stored.
	ErrNotLast = errors.New("the log ends elsewhere")
	// ErrUnsure means that a write did not end well, and may be stored all the same. Bounds says whether frames were. Records
	// may still appear, but never after a later Apply of the same destination.
	ErrUnsure = errors.New("the write may or may not be stored")
	// ErrFailed means that the engine takes no more writes until the process is started again.
	ErrFailed = errors.New("the store has failed")
	// ErrClosed means that the engine was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrNoRecord means that there is no record of that key.
	ErrNoRecord = errors.New("no such record")
	// ErrDamaged means that something is stored and cannot be read.
	ErrDamaged = errors.New("damaged")
	// ErrBroken means that what is stored is not whole: a part is missing, or there is less than there was.
	ErrBroken = errors.New("the journal is not whole")
	// ErrOtherVersion means that another version of aka wrote what is stored.
	ErrOtherVersion = errors.New("another version")
	// ErrEnd means that a reader is at the end of the log.
	ErrEnd = errors.New("end of the log")
)

// View is the reading half of an engine. It is safe for concurrent use.
type View interface {
	// Bounds returns the sequences of the first and the last frame. A log that was emptied has first = last+1; one that never
	// held a frame has 1 and 0.
	Bounds(ctx context.Context) (first, last uint64, err error)
	// Reader returns a reader whose first frame is the one at from, or the first behind it that the log still has.
	Reader(from uint64) Reader
	// Destinations returns the names that have records, sorted.
	Destinations(ctx context.Context) ([]string, error)
	// Get returns a copy of a record's value, or ErrNoRecord, or ErrDamaged.
	Get(ctx context.Context, destination string, key []byte) ([]byte, error)
	// Scan calls visit for the records with from <= key < to, in the order of their keys, until it returns false. A nil to is
	// no bound. Keys and values are valid during the visit only. It sees at least what was applied before it began.
	Scan(ctx context.Context, destination string, from, to []byte, visit func(key, value []byte) (more bool, err error)) error
}

// Engine stores a journal. It is safe for concurrent use.
type Engine interface {
	View
	// Append adds frames behind the frame at after, in order, and returns the sequence of the last of them once all are safe on
	// disk. It is called by one goroutine at a time. After an error other than ErrUnsure none of them is in the log of this
	// process; a crash right after it may leave the first of them. The errors are ErrFull, ErrNoSpace, ErrNotLast, ErrUnsure,
	// ErrFailed and ErrClosed.
	Append(ctx context.Context, frames [][]byte, after uint64) (last uint64, err error)
	// Apply makes all changes to a destination's records, or none, and returns once they are safe on disk. Of two changes to a
	// key the later counts. What two concurrent calls change for one destination is applied in either order. The errors are
	// ErrUnsure, ErrFailed and ErrClosed; where the disk is full it waits for room as long as ctx lasts.
	Apply(ctx context.Context, destination string, changes []Change) error
	// Trim removes frames below a sequence, as far as the engine can: it may keep some of them.
	Trim(ctx context.Context, below uint64) error
	// Stats returns the engine's sizes.
	Stats(ctx context.Context) (Stats, error)
	// Writable returns nil when an Append of so many bytes may be expected to succeed. It writes nothing.
	Writable(ctx context.Context, bytes int) error
	// Backup writes a copy of log and records into a new folder, as they were at one moment, while both are written.
	Backup(ctx context.Context, dir string) error
	// Failed is closed when the engine has failed for good: see ErrFailed.
	Failed() <-chan struct{}
	// Close releases what the engine holds. What was acknowledged is safe already.
	Close() error
}

// Reader gives the frames of a log in order. It belongs to one goroutine, which closes it.
type Reader interface {
	// Next returns the next frame, or ErrEnd when the log has none yet. A sequence that is not the one after the last shows
	// that frames are gone. A frame that is there and cannot be read has Err set.
	Next(ctx context.Context) (Frame, error)
	// Seek makes the next frame the one at seq, or the first behind it that the log still has. A short way ahead it is cheap.
	Seek(seq uint64)
	// Close releases the reader's file. The reader can be used again, and opens it anew.
	Close()
}

// Frame is one stored frame.
type Frame struct {
	// Seq is the frame's place in the log, from 1, without gaps.
	Seq uint64
	// Data is what was appended. It belongs to the caller of Next.
	Data []byte
	// Err is ErrDamaged, with what is wrong, for a frame that cannot be read; Data is nil then.
	Err error
}

// Change sets a record, or deletes it where Delete is set.
type Change struct {
	Key, Value []byte
	Delete     bool
}

// Stats are the sizes of an engine.
type Stats struct {
	// LogBytes is the size of the log on disk, LogMaxBytes its limit.
	LogBytes, LogMaxBytes uint64
	// Frames is how many frames the log holds.
	Frames uint64
	// RecordBytes is the size of the records on disk.
	RecordBytes uint64
	// DiskFree is how much the disk has left for this process; 0 where that is not known.
	DiskFree uint64
}

// Finding is something that an engine found when it was opened, and went on from.
type Finding struct {
	// File is the path of the file, Offset and Bytes say where in it.
	File          string
	Offset, Bytes int64
	// Torn marks the beginning of a write that a crash interrupted: it was never acknowledged.
	Torn bool
	// First and Last are the sequences of the frames that cannot be read for it; 0 where none are lost.
	First, Last uint64
	// Time is when it was found.
	Time time.Time
}
