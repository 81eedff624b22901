package keystore

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// What a store may use. The records of a journal are few and small; most writes change the same keys again and again.
const (
	cacheBytes       = 8 << 20
	memTableBytes    = 4 << 20 // a WAL grows to about as much
	manifestMaxBytes = 1 << 20
	maxOpenFiles     = 256
)

// logEvery is the least time between two log lines of one kind.
const logEvery = time.Minute

// pebble returns the options of the database. They decide about the format and the size of the folder, and are the same for
// reading and for writing.
func (o Options) pebble(fs vfs.FS) *pebble.Options {
	p := &pebble.Options{
		FS:                    fs,
		Logger:                discardLogger{},
		EventListener:         &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}},
		FormatMajorVersion:    pebble.FormatValueSeparation, // has checksums of table footers and of the WAL's synced part
		Cleaner:               pebble.ArchiveCleaner{},      // see waitFS.Rename
		CacheSize:             cacheBytes,
		MemTableSize:          memTableBytes,
		MaxManifestFileSize:   manifestMaxBytes,
		MaxOpenFiles:          maxOpenFiles,
		L0CompactionThreshold: 2,
		LBaseMaxBytes:         2 << 20, // so that deletes soon meet what they delete
	}
	p.Experimental.FileCacheShards = 1
	p.Experimental.EnableColumnarBlocks = func() bool { return true }
	o.adjust(p)
	p.EnsureDefaults()
	return p
}

// discardLogger is the logger of a database that is only looked at. What goes wrong there is returned.
type discardLogger struct{}

func (discardLogger) Infof(string, ...any)  {}
func (discardLogger) Errorf(string, ...any) {}
func (discardLogger) Fatalf(format string, args ...any) {
	panic(newFatal(format, args)) // it is recovered where the database is opened or read
}

// maxFlushErrors is how many flushes in a row may go wrong. No write is lost meanwhile, but all will wait in the end.
const maxFlushErrors = 50

// listener gets Pebble's events and messages.
type listener struct {
	fs  *waitFS
	log *zap.Logger

	errors, damage rate.Sometimes

	mu      sync.Mutex
	flush   error // of the last flush
	flushes int   // that went wrong, one after the other
}

func newListener(fs *waitFS, log *zap.Logger) *listener {
	return &listener{fs: fs, log: log, errors: rate.Sometimes{Interval: logEvery}, damage: rate.Sometimes{Interval: logEvery}}
}

func (l *listener) events() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: l.backgroundError,
		DataCorruption:  l.corruption,
		FlushEnd:        l.flushEnd,
	}
}

func (l *listener) corruption(info pebble.DataCorruptionInfo) {
	l.damage.Do(func() {
		l.log.Error("stored records are damaged", zap.String("path", info.Path), zap.Error(info.Details))
	})
}

// backgroundError is called for a flush or compaction that went wrong. Nothing is lost by that: what a flush writes stays in
// the WAL, what a compaction writes stays in its inputs, and both are tried again.
func (l *listener) backgroundError(err error) {
	l.errors.Do(func() { l.log.Warn("background work on records failed", zap.Error(err)) })
	flushes := l.flushErrors(err)
	if flushes == 0 {
		return
	}
	if l.fs.current() == opening || flushes >= maxFlushErrors {
		l.fs.fail.fail(fmt.Errorf("flush of records: %w", err))
	}
}

// flushEnd is called after every flush. One of its errors only means that there was nothing to write. For the others,
// backgroundError is called next.
func (l *listener) flushEnd(info pebble.FlushInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush = info.Err
	if info.Err == nil {
		l.flushes = 0
	}
}

// flushErrors counts an error if it is one of the last flush, and returns how many there were in a row; 0 if it is another.
func (l *listener) flushErrors(err error) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flush == nil || !errors.Is(err, l.flush) {
		return 0
	}
	l.flushes++
	return l.flushes
}

// Infof drops Pebble's messages about its ordinary work.
func (l *listener) Infof(string, ...any) {}

func (l *listener) Errorf(format string, args ...any) { l.backgroundError(fmt.Errorf(format, args...)) }

// Fatalf is called by Pebble when it cannot go on. It does not return, because Pebble would go on all the same.
func (l *listener) Fatalf(format string, args ...any) {
	l.fs.fail.fail(newFatal(format, args))
	neverReturn()
}

// fatal is Pebble's last message. The cause is the error among its arguments, if there is one.
type fatal struct {
	text  string
	cause error
}

func newFatal(format string, args []any) fatal {
	f := fatal{text: fmt.Sprintf(format, args...)}
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			f.cause = err
		}
	}
	return f
}

func (f fatal) Error() string { return f.text }
func (f fatal) Unwrap() error { return f.cause }
