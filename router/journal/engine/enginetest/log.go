package enginetest

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"aka/router/journal/engine"
)

var logCases = map[string]func(*story){
	"frames stay in order":                         framesStayInOrder,
	"Append goes on only where the log ends":       appendGoesOnWhereTheLogEnds,
	"a log that never held a frame has bounds 1 0": neverHeldAFrame,
	"Trim keeps all frames from its sequence on":   trimKeepsTheRest,
	"an emptied log goes on behind its last frame": emptiedLogGoesOn,
	"a reader in trimmed frames goes on":           readerInTrimmedFrames,
	"readers follow the writer":                    readersFollowTheWriter,
	"Seek goes forward and back":                   seekGoesForwardAndBack,
	"a reader ends with its context":               readerEndsWithItsContext,
	"a long backlog is read in bounded memory":     longBacklog,
}

func framesStayInOrder(s *story) {
	s.append(1)
	s.append(10, 0, 300, 70_000, 1)
	for n := range 50 {
		s.append(n * 37)
	}
	s.again()
	s.append(1<<20, 5)
	s.append(0)
	s.again()
}

func appendGoesOnWhereTheLogEnds(s *story) {
	check := func(wrong ...uint64) {
		s.Helper()
		for _, after := range wrong {
			_, err := s.Append(s.Context(), [][]byte{s.frame(10), s.frame(10)}, after)
			s.wantError(err, engine.ErrNotLast)
		}
		s.check()
	}
	check(1, 1<<63)
	s.append(10, 20, 30)
	check(0, 2, 4, 1<<63)
	s.again()
	check(0, 2, 4)
	s.append(5)
	s.check()
}

func neverHeldAFrame(s *story) {
	for range 2 {
		if first, last := s.bounds(); first != 1 || last != 0 {
			s.Fatalf("bounds are %d and %d", first, last)
		}
		s.must(s.Trim(s.Context(), 10))
		s.end(s.Reader(1))
		s.again()
	}
	r := s.Reader(0)
	s.end(r)
	s.append(10)
	s.next(r, 1)
	r.Close()
	s.again()
}

// some appends 4 MiB of frames, and returns how many there are now.
func (s *story) some() uint64 {
	s.Helper()
	for range 64 {
		s.append(16<<10, 16<<10, 16<<10, 16<<10)
	}
	return s.last()
}

// trim trims, and checks that nothing from below on is gone.
func (s *story) trim(below uint64) {
	s.Helper()
	before, _ := s.bounds()
	s.must(s.Trim(s.Context(), below))
	s.first = max(s.first, min(below, s.last()+1))
	s.check()
	if first, _ := s.bounds(); first < before {
		s.Fatalf("the first frame was %d, and is %d", before, first)
	}
}

func trimKeepsTheRest(s *story) {
	n := s.some()
	for _, below := range []uint64{0, 1, 2, n / 3, n / 2, n / 3, n - 1, n} {
		s.trim(below)
	}
	if first, _ := s.bounds(); first < n/2 {
		s.Errorf("the log begins with frame %d after a Trim below %d", first, n)
	}
	s.again()
	s.append(10)
	s.again()
}

func emptiedLogGoesOn(s *story) {
	for range 2 {
		n := s.some()
		for range 30 { // it may keep what is not worth to be removed
			s.trim(n + 1000)
			if first, _ := s.bounds(); first == n+1 {
				break
			}
			s.append(16 << 10)
			n++
		}
		s.again()
		if first, _ := s.bounds(); first <= n {
			s.Log("the engine cannot be emptied")
		}
		r := s.Reader(n + 1)
		s.end(r)
		s.append(10)
		s.next(r, n+1)
		r.Close()
		s.again()
	}
}

func readerInTrimmedFrames(s *story) {
	n := s.some()
	readers := []engine.Reader{s.Reader(1), s.Reader(1), s.Reader(n / 2)}
	defer closeAll(readers)
	s.next(readers[0], 1)
	s.next(readers[0], 2)
	s.must(s.Trim(s.Context(), n))
	s.first = n
	first, _ := s.bounds()
	for i, r := range readers {
		f, err := r.Next(s.Context())
		s.must(err)
		if f.Seq > max(first, []uint64{3, 1, n / 2}[i]) {
			s.Fatalf("reader %d goes on with frame %d of a log that begins with %d", i, f.Seq, first)
		}
		s.checkFrame(f, f.Seq)
		for f.Seq < n { // it may still have frames that are gone
			before := f.Seq
			f, err = r.Next(s.Context())
			s.must(err)
			if f.Seq != before+1 && f.Seq != first {
				s.Fatalf("frame %d comes behind frame %d of a log that begins with %d", f.Seq, before, first)
			}
			s.checkFrame(f, f.Seq)
		}
		s.end(r)
	}
}

func closeAll(readers []engine.Reader) {
	for _, r := range readers {
		r.Close()
	}
}

// A reader at the end has returned all that was acknowledged before it was asked, and never what was not given to Append.
func readersFollowTheWriter(s *story) {
	const writes, readers = 150, 6
	var begun, acknowledged, ended atomic.Uint64
	var frames [][]byte
	sizes := []int{1, 3, 1, 10}
	for range writes {
		for range sizes {
			frames = append(frames, s.frame(len(frames)*13%3000))
		}
	}
	more := make([]chan struct{}, readers)
	var reading sync.WaitGroup
	for i := range readers {
		more[i] = make(chan struct{}, 1)
		reading.Go(func() {
			from := uint64(1 + i*20)
			r := s.Reader(from)
			defer r.Close()
			for seq := from; seq <= uint64(len(frames)); {
				had, over := acknowledged.Load(), ended.Load() > 0
				f, err := r.Next(s.Context())
				switch {
				case errors.Is(err, engine.ErrEnd) && had >= seq:
					s.Errorf("frame %d was acknowledged, and the reader is at the end before it", seq)
					return
				case errors.Is(err, engine.ErrEnd) && over:
					return
				case errors.Is(err, engine.ErrEnd):
					<-more[i]
					continue
				case err != nil || f.Err != nil || f.Seq != seq:
					s.Errorf("want frame %d, got %d, %v, %v", seq, f.Seq, err, f.Err)
					return
				case seq > begun.Load() || !bytes.Equal(f.Data, frames[seq-1]):
					s.Errorf("frame %d is not one that was appended", seq)
					return
				}
				seq++
			}
		})
	}
	tell := func() {
		for _, c := range more {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
	for n := 0; s.last() < uint64(len(frames)); n++ {
		next := frames[s.last():]
		next = next[:min(len(next), sizes[n%len(sizes)])]
		begun.Add(uint64(len(next)))
		if err := s.try(next...); err != nil {
			s.Error(err)
			break
		}
		acknowledged.Store(s.last())
		tell()
	}
	ended.Store(1)
	for _, c := range more {
		close(c)
	}
	reading.Wait()
	s.check()
}

func seekGoesForwardAndBack(s *story) {
	n := s.some()
	r := s.Reader(5)
	defer r.Close()
	for _, seq := range []uint64{5, 6, 8, n, n / 2, 1, n - 1, 2, 2, 3, n/2 + 1} {
		r.Seek(seq)
		s.next(r, seq)
		if seq < n {
			s.next(r, seq+1)
		} else {
			s.end(r)
		}
	}
	r.Close()
	r.Seek(7)
	s.next(r, 7)
	r.Seek(0)
	s.next(r, 1)
	r.Seek(n + 3)
	s.end(r)
	s.append(1, 2)
	s.end(r)
	s.append(3, 4)
	s.next(r, n+3)
	r.Seek(n + 1)
	s.next(r, n+1)
	s.must(s.Trim(s.Context(), n/2))
	first, _ := s.bounds()
	r.Seek(1)
	s.next(r, first)
}

func readerEndsWithItsContext(s *story) {
	s.append(1, 2)
	ctx, cancel := context.WithCancel(s.Context())
	r := s.Reader(1)
	defer r.Close()
	cancel()
	if _, err := r.Next(ctx); err != nil {
		s.wantError(err, context.Canceled)
		s.next(r, 1)
	}
	s.next(r, 2)
}

// longBacklog does not keep the frames that it writes.
func longBacklog(s *story) {
	n := uint64(s.Backlog)
	if n == 0 {
		n = 1_000_000
	}
	if testing.Short() {
		n = min(n, 50_000)
	}
	const together = 10_000
	buffer := make([][]byte, together)
	for last := uint64(0); last < n; {
		for i := range buffer {
			buffer[i] = append(buffer[i][:0], numbered(last+1+uint64(i))...)
		}
		got, err := s.Append(s.Context(), buffer, last)
		s.must(err)
		last = got
	}
	s.close()
	s.open()
	if first, last := s.bounds(); first != 1 || last != n {
		s.Fatalf("bounds are %d and %d", first, last)
	}
	before := heap()
	var most uint64
	r := s.Reader(n / 2)
	defer r.Close()
	read := func(from, to uint64) {
		s.Helper()
		for seq := from; seq <= to; seq++ {
			f, err := r.Next(s.Context())
			if err != nil || f.Err != nil || f.Seq != seq || !bytes.Equal(f.Data, numbered(seq)) {
				s.Fatalf("want frame %d, got frame %d with %q, %v, %v", seq, f.Seq, f.Data, err, f.Err)
			}
			if seq%100_000 == 0 {
				most = max(most, heap())
			}
		}
	}
	read(n/2, n/2+1000)
	r.Seek(1)
	read(1, n)
	s.end(r)
	if most > before+16<<20 {
		s.Errorf("%d MiB are in use while reading, and were %d before", most>>20, before>>20)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// numbered returns the frame of a sequence in a long backlog.
func numbered(seq uint64) []byte {
	return []byte{byte(seq >> 16), byte(seq >> 8), byte(seq), 'a', 'k', 'a', byte(seq * 7), byte(seq * 13 >> 8)}
}
