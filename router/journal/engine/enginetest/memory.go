// Package enginetest holds an engine to what package engine promises, and has an engine in memory that promises nothing else.
package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"aka/router/journal/engine"
)

// Memory is an engine in memory, for tests of what is above engines. Log and records know nothing of each other: where a
// crash or a fault comes between two writes, one is there and the other is not. It can be made to fail.
type Memory struct {
	mu      sync.Mutex
	first   uint64
	frames  []engine.Frame
	records map[string]map[string][]byte
	late    map[string][]engine.Change // by destination
	fault   func(write Write) Fault
	changed chan struct{} // closed and replaced when fault changes
	failed  chan struct{}
	closed  bool
	// MaxBytes bounds the log; 0 does not.
	MaxBytes uint64
}

// Write is a kind of write.
type Write int

// The kinds of writes.
const (
	AppendWrite Write = iota
	ApplyWrite
	TrimWrite
)

// Fault is how a write ends.
type Fault int

// How writes end.
const (
	// None is a write that succeeds.
	None Fault = iota
	// Lost fails with engine.ErrUnsure, and nothing is stored.
	Lost
	// Stored fails with engine.ErrUnsure, and is stored all the same.
	Stored
	// Late fails with engine.ErrUnsure, and is stored right before the next Apply of that destination. A frame or a trim that
	// is late is lost.
	Late
	// NoSpace makes an Append fail with engine.ErrNoSpace, and an Apply wait until FailWrites is called again.
	NoSpace
)

var errInjected = errors.New("injected fault")

// NewMemory makes an empty engine.
func NewMemory() *Memory {
	return &Memory{first: 1, records: map[string]map[string][]byte{}, late: map[string][]engine.Change{}, changed: make(chan struct{}), failed: make(chan struct{})}
}

// FailWrites asks fault how each write is to end; nil ends that.
func (m *Memory) FailWrites(fault func(Write) Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
	m.wake()
}

// wake lets what waits look again. It is called with mu held.
func (m *Memory) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Crash ends this engine, as a crash would, and returns one that has what it had stored.
func (m *Memory) Crash() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.close()
	next := NewMemory()
	next.first, next.frames, next.MaxBytes = m.first, slices.Clone(m.frames), m.MaxBytes
	for name, records := range m.records {
		next.records[name] = maps.Clone(records)
	}
	return next
}

// DamageFrame makes a frame unreadable.
func (m *Memory) DamageFrame(seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frames[seq-m.first] = engine.Frame{Seq: seq, Err: engine.ErrDamaged}
}

// begin returns how a write is to end. It is called with mu held.
func (m *Memory) begin(w Write) (Fault, error) {
	if err := m.open(); err != nil {
		return None, err
	}
	fault := None
	if m.fault != nil {
		fault = m.fault(w)
	}
	switch fault {
	case Lost, Stored, Late:
		return fault, fmt.Errorf("%w: %w", engine.ErrUnsure, errInjected)
	case NoSpace:
		return fault, fmt.Errorf("%w: %w", engine.ErrNoSpace, errInjected)
	}
	return fault, nil
}

func (m *Memory) last() uint64 { return m.first + uint64(len(m.frames)) - 1 }

// Append implements engine.Engine.
func (m *Memory) Append(_ context.Context, frames [][]byte, after uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.open(); err != nil {
		return 0, err
	}
	if after != m.last() {
		return 0, fmt.Errorf("%w: at %d, not %d", engine.ErrNotLast, m.last(), after)
	}
	size := uint64(0)
	for _, data := range frames {
		size += uint64(len(data))
	}
	if m.MaxBytes > 0 && m.bytes()+size > m.MaxBytes {
		return 0, fmt.Errorf("%w: %d of %d bytes are taken", engine.ErrFull, m.bytes(), m.MaxBytes)
	}
	fault, err := m.begin(AppendWrite)
	if err == nil || fault == Stored {
		for _, data := range frames {
			m.frames = append(m.frames, engine.Frame{Seq: m.last() + 1, Data: bytes.Clone(data)})
		}
	}
	return m.last(), err
}

func (m *Memory) bytes() (size uint64) {
	for _, f := range m.frames {
		size += uint64(len(f.Data))
	}
	return size
}

// Apply implements engine.Engine.
func (m *Memory) Apply(ctx context.Context, destination string, changes []engine.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fault, err := m.beginApply(ctx)
	if fault == Late {
		for _, c := range changes {
			m.late[destination] = append(m.late[destination], engine.Change{Key: bytes.Clone(c.Key), Value: bytes.Clone(c.Value), Delete: c.Delete})
		}
		return err
	}
	if err != nil && fault != Stored {
		return err
	}
	m.store(destination, m.late[destination])
	delete(m.late, destination)
	m.store(destination, changes)
	return err
}

// store makes changes. It is called with mu held.
func (m *Memory) store(destination string, changes []engine.Change) {
	records := m.records[destination]
	if records == nil {
		records = map[string][]byte{}
		m.records[destination] = records
	}
	for _, c := range changes {
		if c.Delete {
			delete(records, string(c.Key))
		} else {
			records[string(c.Key)] = bytes.Clone(c.Value)
		}
	}
}

// beginApply waits while there is no space. It is called with mu held, which it gives back meanwhile.
func (m *Memory) beginApply(ctx context.Context) (Fault, error) {
	for {
		fault, err := m.begin(ApplyWrite)
		if fault != NoSpace {
			return fault, err
		}
		changed := m.changed
		m.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		m.mu.Lock()
		if ctx.Err() != nil {
			return Lost, fmt.Errorf("%w: %w", engine.ErrUnsure, ctx.Err())
		}
	}
}

// Trim implements engine.Engine.
func (m *Memory) Trim(_ context.Context, below uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fault, err := m.begin(TrimWrite)
	if err != nil && fault != Stored {
		return err
	}
	if n := min(below, m.last()+1) - min(below, m.first); n > 0 {
		m.frames = slices.Clone(m.frames[n:])
		m.first += n
	}
	return err
}

// Bounds implements engine.View.
func (m *Memory) Bounds(context.Context) (first, last uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.first, m.last(), nil
}

// Destinations implements engine.View.
func (m *Memory) Destinations(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.open(); err != nil {
		return nil, err
	}
	var names []string
	for name, records := range m.records {
		if len(records) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Get implements engine.View.
func (m *Memory) Get(_ context.Context, destination string, key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.open(); err != nil {
		return nil, err
	}
	value, ok := m.records[destination][string(key)]
	if !ok {
		return nil, engine.ErrNoRecord
	}
	return bytes.Clone(value), nil
}

// Scan implements engine.View.
func (m *Memory) Scan(_ context.Context, destination string, from, to []byte, visit func(key, value []byte) (bool, error)) error {
	m.mu.Lock()
	records, err := maps.Clone(m.records[destination]), m.open()
	m.mu.Unlock()
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if key < string(from) || to != nil && key >= string(to) {
			continue
		}
		more, err := visit([]byte(key), records[key])
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// Stats implements engine.Engine.
func (m *Memory) Stats(context.Context) (engine.Stats, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return engine.Stats{LogBytes: m.bytes(), LogMaxBytes: m.MaxBytes, Frames: uint64(len(m.frames))}, nil
}

// Writable implements engine.Engine.
func (m *Memory) Writable(context.Context, int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open()
}

// Backup implements engine.Engine: there is nowhere to write one.
func (m *Memory) Backup(context.Context, string) error {
	return errors.New("an engine in memory has no backups")
}

// Failed implements engine.Engine.
func (m *Memory) Failed() <-chan struct{} { return m.failed }

// Close implements engine.Engine.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.close()
	return nil
}

func (m *Memory) close() {
	m.closed = true
	m.wake()
}

// open returns engine.ErrClosed for an engine that is closed. It is called with mu held.
func (m *Memory) open() error {
	if m.closed {
		return engine.ErrClosed
	}
	return nil
}

// Reader implements engine.View.
func (m *Memory) Reader(from uint64) engine.Reader { return &memoryReader{m, max(from, 1)} }

type memoryReader struct {
	m    *Memory
	next uint64
}

func (r *memoryReader) Next(context.Context) (engine.Frame, error) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if err := r.m.open(); err != nil {
		return engine.Frame{}, err
	}
	r.next = max(r.next, r.m.first)
	if r.next > r.m.last() {
		return engine.Frame{}, engine.ErrEnd
	}
	f := r.m.frames[r.next-r.m.first]
	f.Data = bytes.Clone(f.Data)
	r.next++
	return f, nil
}

func (r *memoryReader) Seek(seq uint64) { r.next = seq }

func (r *memoryReader) Close() {}
