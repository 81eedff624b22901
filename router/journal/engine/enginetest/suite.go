package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"aka/router/journal/engine"
)

// Subject makes an empty store, for one case, with the engine that is under test.
type Subject func(t *testing.T) Store

// Store is where an engine stores, and what can happen to it. What is nil cannot happen to this engine.
type Store struct {
	// Open opens the engine with what it stored. It is not open meanwhile.
	Open func(t *testing.T) engine.Engine
	// Crash ends the engine as the end of its process does, without Close. No write is under way.
	Crash func(t *testing.T, e engine.Engine)
	// Backlog is how many frames the engine must hold and read. Default: a million.
	Backlog int

	// Damage changes a stored frame, which has this data. The engine is not open.
	Damage func(t *testing.T, seq uint64, data []byte)
	// CutTail cuts bytes off the end of the log. The engine is not open.
	CutTail func(t *testing.T, bytes int)
	// Fill leaves the disk without room until free is called.
	Fill func(t *testing.T) (free func())
	// FailLog makes operations on the log fail until repair is called: all of a kind, after the next skip ones.
	FailLog func(t *testing.T, op Operation, skip int) (repair func())
	// Hold makes the log wait where it syncs, until release is called. The channel is closed when it waits.
	Hold func(t *testing.T) (waits <-chan struct{}, release func())
	// BreakRecords makes writes of records fail until repair is called.
	BreakRecords func(t *testing.T) (repair func())
}

// Operation is a kind of operation that can fail.
type Operation int

// The kinds of operations.
const (
	WriteOperation Operation = iota
	SyncOperation
	CreateOperation
	RenameOperation
)

var operations = map[string]Operation{
	"write": WriteOperation, "sync": SyncOperation, "create": CreateOperation, "rename": RenameOperation,
}

// Run holds an engine to what package engine promises.
func Run(t *testing.T, s Subject) {
	for _, cases := range []map[string]func(*story){logCases, recordCases, bothCases, faultCases} {
		for _, name := range slices.Sorted(maps.Keys(cases)) {
			t.Run(name, func(t *testing.T) {
				cases[name](begin(t, s(t)))
			})
		}
	}
}

// patience bounds each wait for something that must happen.
const patience = 30 * time.Second

// story is one case: an engine, and what it must hold.
type story struct {
	*testing.T
	Store
	engine.Engine

	first   uint64           // the lowest sequence that the log must have
	frames  [][]byte         // of the sequences from 1 on
	damaged []uint64         // the sequences of frames that cannot be read any more
	records map[string]keyed // by destination
	writes  int              // makes the data of each frame another
}

type keyed map[string]string

func begin(t *testing.T, store Store) *story {
	s := &story{T: t, Store: store, first: 1, records: map[string]keyed{}}
	s.Engine = store.Open(t)
	t.Cleanup(func() { _ = s.Engine.Close() })
	return s
}

func (s *story) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// wantError fails unless err is one of those that are wanted.
func (s *story) wantError(err error, wanted ...error) {
	s.Helper()
	for _, want := range wanted {
		if errors.Is(err, want) {
			return
		}
	}
	s.Fatalf("got the error %v, want one of %v", err, wanted)
}

func (s *story) last() uint64 { return uint64(len(s.frames)) }

// close closes the engine. It must be opened again.
func (s *story) close() {
	s.Helper()
	s.must(s.Engine.Close())
}

func (s *story) open() {
	s.Helper()
	s.Engine = s.Store.Open(s.T)
}

// again ends the engine in one way, opens it, and checks what it holds. It does so for each way.
func (s *story) again() {
	s.Helper()
	s.check()
	s.close()
	s.open()
	s.check()
	s.crash()
	s.check()
}

func (s *story) crash() {
	s.Helper()
	s.Store.Crash(s.T, s.Engine)
	s.open()
}

// frame makes a frame of a size. No two are alike.
func (s *story) frame(size int) []byte {
	s.writes++
	data := fmt.Appendf(nil, "frame of write %d;", s.writes)
	for len(data) < size {
		data = append(data, data[:min(len(data), size-len(data))]...)
	}
	return data[:size]
}

// append appends frames of these sizes, which must succeed.
func (s *story) append(sizes ...int) {
	s.Helper()
	var frames [][]byte
	for _, size := range sizes {
		frames = append(frames, s.frame(size))
	}
	s.must(s.try(frames...))
}

// try appends frames, and expects them from now on if it succeeds.
func (s *story) try(frames ...[]byte) error {
	s.Helper()
	last, err := s.Append(s.Context(), frames, s.last())
	if err != nil {
		return err
	}
	for _, data := range frames {
		s.frames = append(s.frames, bytes.Clone(data))
	}
	if last != s.last() {
		s.Fatalf("Append returns %d, want %d", last, s.last())
	}
	return nil
}

func set(key, value string) engine.Change {
	return engine.Change{Key: []byte(key), Value: []byte(value)}
}

func unset(key string) engine.Change { return engine.Change{Key: []byte(key), Delete: true} }

// apply makes changes, which must succeed.
func (s *story) apply(destination string, changes ...engine.Change) {
	s.Helper()
	s.must(s.Apply(s.Context(), destination, changes))
	s.expect(destination, changes...)
}

// expect expects changes from now on.
func (s *story) expect(destination string, changes ...engine.Change) {
	records := s.records[destination]
	if records == nil {
		records = keyed{}
		s.records[destination] = records
	}
	for _, c := range changes {
		if c.Delete {
			delete(records, string(c.Key))
		} else {
			records[string(c.Key)] = string(c.Value)
		}
	}
}

// check fails unless the engine holds what it must, and nothing else.
func (s *story) check() {
	s.Helper()
	s.checkFrames()
	s.checkRecords()
}

func (s *story) checkFrames() {
	s.Helper()
	first, last := s.bounds()
	if first > s.first || last != s.last() {
		s.Fatalf("bounds are %d and %d, want at most %d, and %d", first, last, s.first, s.last())
	}
	r := s.Reader(0)
	defer r.Close()
	for seq := first; seq <= last; seq++ {
		s.next(r, seq)
	}
	s.end(r)
}

func (s *story) bounds() (first, last uint64) {
	s.Helper()
	first, last, err := s.Bounds(s.Context())
	s.must(err)
	return first, last
}

// next fails unless the reader's next frame is the one at seq.
func (s *story) next(r engine.Reader, seq uint64) {
	s.Helper()
	f, err := r.Next(s.Context())
	if err != nil {
		s.Fatalf("frame %d: %v", seq, err)
	}
	s.checkFrame(f, seq)
}

func (s *story) checkFrame(f engine.Frame, seq uint64) {
	s.Helper()
	lost := slices.Contains(s.damaged, seq)
	switch {
	case f.Seq != seq:
		s.Fatalf("got frame %d, want %d", f.Seq, seq)
	case lost && (!errors.Is(f.Err, engine.ErrDamaged) || f.Data != nil):
		s.Fatalf("damaged frame %d has %d bytes and the error %v", seq, len(f.Data), f.Err)
	case !lost && f.Err != nil:
		s.Fatalf("frame %d: %v", seq, f.Err)
	case !lost && !bytes.Equal(f.Data, s.frames[seq-1]):
		s.Fatalf("frame %d is %.40q (%d bytes), want %.40q (%d bytes)", seq, f.Data, len(f.Data), s.frames[seq-1], len(s.frames[seq-1]))
	}
}

// end fails unless the reader is at the end of the log.
func (s *story) end(r engine.Reader) {
	s.Helper()
	if f, err := r.Next(s.Context()); !errors.Is(err, engine.ErrEnd) {
		s.Fatalf("behind the last frame there is frame %d, %v", f.Seq, err)
	}
}

func (s *story) checkRecords() {
	s.Helper()
	var names []string
	for name, records := range s.records {
		if len(records) > 0 {
			names = append(names, name)
		}
		s.checkScan(name, "", nil)
		for key, value := range records {
			got, err := s.Get(s.Context(), name, []byte(key))
			if err != nil || string(got) != value {
				s.Fatalf("record %.40q of %s is %.40q, %v; want %.40q", key, name, got, err, value)
			}
		}
	}
	slices.Sort(names)
	got, err := s.Destinations(s.Context())
	s.must(err)
	if !slices.Equal(got, names) {
		s.Fatalf("destinations are %q, want %q", got, names)
	}
}

// checkScan fails unless Scan gives the records with from <= key, and key < to where that is not nil, in order.
func (s *story) checkScan(destination, from string, to []byte) {
	s.Helper()
	var want []string
	for _, key := range slices.Sorted(maps.Keys(s.records[destination])) {
		if key >= from && (to == nil || key < string(to)) {
			want = append(want, key+"="+s.records[destination][key])
		}
	}
	got := s.scan(destination, []byte(from), to)
	if !slices.Equal(got, want) {
		s.Fatalf("records of %q from %q to %q are %.80q, want %.80q", destination, from, to, got, want)
	}
}

func (s *story) scan(destination string, from, to []byte) (found []string) {
	s.Helper()
	s.must(s.Scan(s.Context(), destination, from, to, func(key, value []byte) (bool, error) {
		found = append(found, string(key)+"="+string(value))
		return true, nil
	}))
	return found
}

// within returns a context for something that must end.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
