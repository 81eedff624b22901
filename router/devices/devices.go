package devices

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// flushInterval is how long an id may be only in memory.
	flushInterval = time.Second
	// checkInterval is how often the age of the generation is looked at.
	checkInterval = time.Hour
	// maxPending bounds the bytes that wait for the disk.
	maxPending = 4 << 20
)

// Options are what a Filter needs.
type Options struct {
	// Key keys the digests. With another key, the files of before are not read.
	Key []byte
	// Dir is the folder of the files; "" keeps nothing over a restart.
	Dir string
	// OnError is called where a file cannot be read or written, once for each run of failures. The filter works on without it. No
	// error holds an id. May be nil.
	OnError func(error)
}

// Filter knows which ids were seen as an anonymousId. It is safe for concurrent use. One serves the whole process.
type Filter struct {
	options Options
	key     sipKey

	generations atomic.Pointer[generations]
	loaded      atomic.Bool
	ready       chan struct{} // closed once loaded
	wake        chan struct{} // something is pending

	mu      sync.Mutex
	pending []byte // digests that are to be written
	lost    int    // digests that found no room there

	// writing orders what uses the file.
	writing sync.Mutex
	file    *file
	failed  bool
}

// generations are the one that takes ids, and the one before, which may be nil.
type generations struct {
	current, previous *generation
	started           time.Time
}

// New returns a filter without any id. It answers at once; Run reads what earlier runs have seen.
func New(o Options) *Filter {
	f := &Filter{options: o, key: keyOf(o.Key), ready: make(chan struct{}), wake: make(chan struct{}, 1)}
	f.generations.Store(&generations{current: &generation{}, started: time.Now()})
	if o.Dir == "" {
		f.beLoaded()
	}
	return f
}

// Add notes that an id was seen as a device's anonymousId. It neither waits for the disk nor fails.
func (f *Filter) Add(id string) {
	digest := f.key.digest(id)
	if !f.generations.Load().current.add(digest) || f.options.Dir == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) >= maxPending {
		f.lost++
		return
	}
	f.pending = binary.LittleEndian.AppendUint64(f.pending, digest)
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Seen reports whether an id was seen within the last 15 days, and perhaps 30. sure is false while the files are being read, and
// once a generation is full: then newer ids are not in it.
func (f *Filter) Seen(id string) (seen, sure bool) {
	g := f.generations.Load()
	digest := f.key.digest(id)
	sure = f.loaded.Load() && !g.current.isFull() && (g.previous == nil || !g.previous.isFull())
	return g.current.has(digest) || g.previous != nil && g.previous.has(digest), sure
}

func (f *Filter) beLoaded() {
	f.loaded.Store(true)
	close(f.ready)
}

// Loaded is closed once Run has read what earlier runs have seen. Before that an id that they have seen seems to be none of a device.
func (f *Filter) Loaded() <-chan struct{} { return f.ready }

// Flush returns once all that was added is safe on disk, or could not be written. It waits for Run to have read what earlier runs have
// seen, until the context ends.
func (f *Filter) Flush(ctx context.Context) {
	select {
	case <-f.ready:
	case <-ctx.Done():
		return
	}
	f.writing.Lock()
	defer f.writing.Unlock()
	if f.hasPending() {
		f.flush()
	}
	if f.file != nil && f.file.unsynced {
		f.report(f.file.sync())
	}
}

func (f *Filter) hasPending() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pending) > 0
}

// Run reads what earlier runs have seen, and then writes within a second what is seen, until the context ends. It returns when
// all is written.
func (f *Filter) Run(ctx context.Context) {
	if f.options.Dir != "" {
		f.load()
	}
	f.withFile(func() { f.rotate(time.Now()) })
	check := time.NewTicker(checkInterval)
	defer check.Stop()
	var flush <-chan time.Time // nil while nothing is pending
	for {
		select {
		case <-ctx.Done():
			f.withFile(f.end)
			return
		case <-f.wake:
			if flush == nil {
				flush = time.After(flushInterval)
			}
		case <-flush:
			flush = nil
			f.withFile(func() {
				if !f.flush() {
					flush = time.After(flushInterval)
				}
			})
		case <-check.C:
			f.withFile(func() {
				f.flush()
				f.rotate(time.Now())
			})
		}
	}
}

func (f *Filter) withFile(do func()) {
	f.writing.Lock()
	defer f.writing.Unlock()
	do()
}

// end writes and closes the file. A Flush that comes later opens it again.
func (f *Filter) end() {
	f.flush()
	if f.file != nil {
		f.report(f.file.close())
		f.file = nil
	}
}

func (f *Filter) path(name string) string { return filepath.Join(f.options.Dir, name) }

// The names of the two files.
const (
	currentName  = "devices.current"
	previousName = "devices.previous"
)

// load reads both files. One that is too old, of another key or no such file counts as empty.
func (f *Filter) load() {
	now := time.Now()
	started, current := f.read(currentName, now), f.generations.Load().current
	if age := now.Sub(started); !started.IsZero() && age >= Lifetime {
		f.report(rename(f.path(currentName), f.path(previousName)))
		started = time.Time{}
	}
	if previous := f.read(previousName, now); !previous.IsZero() {
		before := &generation{}
		f.report(eachDigest(f.path(previousName), f.key, func(digest uint64) { before.add(digest) }))
		f.generations.Store(&generations{current, before, f.generations.Load().started})
	}
	if !started.IsZero() {
		f.report(eachDigest(f.path(currentName), f.key, func(digest uint64) { current.add(digest) }))
		f.generations.Store(&generations{current, f.generations.Load().previous, started})
	}
	f.beLoaded()
}

// read returns when a file's generation was started, or the zero time for one that does not count.
func (f *Filter) read(name string, now time.Time) time.Time {
	started, err := startOf(f.path(name), f.key)
	if err != nil {
		f.report(err)
		return time.Time{}
	}
	if age := now.Sub(started); age < 0 || age >= 2*Lifetime {
		return time.Time{}
	}
	return started
}

// flush writes what is pending, and reports whether it could. What cannot be written stays, as far as there is room.
func (f *Filter) flush() bool {
	f.mu.Lock()
	writing, lost := f.pending, f.lost
	f.pending, f.lost = nil, 0
	f.mu.Unlock()
	err := f.write(writing)
	written := err == nil
	if !written {
		f.mu.Lock()
		f.pending = append(writing, f.pending...)
		over := max(len(f.pending)-maxPending, 0)
		f.pending = f.pending[over:]
		f.mu.Unlock()
		lost += over / digestSize
	}
	if written && lost > 0 {
		err = fmt.Errorf("write the file of seen devices: %d ids are left out, because there were too many at once", lost)
	}
	f.report(err)
	return written
}

func (f *Filter) write(digests []byte) (err error) {
	if len(digests) == 0 || f.options.Dir == "" {
		return nil
	}
	if f.file == nil {
		if f.file, err = openFile(f.path(currentName), f.key, f.generations.Load().started); err != nil {
			return err
		}
	}
	if err = f.file.append(digests); err != nil {
		_ = f.file.close()
		f.file = nil // what is torn is cut off when it is opened again
	}
	return err
}

// rotate begins a new generation when the current one is old enough. The memory of the one before is used again.
func (f *Filter) rotate(now time.Time) {
	g := f.generations.Load()
	if now.Sub(g.started) < Lifetime {
		return
	}
	if f.file != nil {
		f.report(f.file.close())
		f.file = nil
	}
	if f.options.Dir != "" {
		f.report(rename(f.path(currentName), f.path(previousName)))
	}
	next := g.previous
	if next == nil {
		next = &generation{}
	}
	f.generations.Store(&generations{next, g.current, now})
	next.clear()
}

// report calls OnError for the first of failures in a row.
func (f *Filter) report(err error) {
	if err != nil && !f.failed && f.options.OnError != nil {
		f.options.OnError(err)
	}
	f.failed = err != nil
}
