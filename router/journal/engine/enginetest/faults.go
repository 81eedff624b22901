package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"aka/router/journal/engine"
)

var faultCases = map[string]func(*story){
	"damage costs the frame that it hits":                 damageCostsOneFrame,
	"a write that was cut short is ignored":               cutWriteIsIgnored,
	"no reader sees a frame that is not safe":             framesAreShownWhenTheyAreSafe,
	"a full disk refuses frames and takes them later":     fullDiskRefusesFrames,
	"on a full disk Apply waits":                          fullDiskLetsApplyWait,
	"a failed operation fails the Append, and no other":   failedOperation,
	"a crash after a failed Append keeps what was before": crashAfterAFailedAppend,
	"records that cannot be written fail the engine":      brokenRecords,
}

// needs skips the case where the engine cannot meet it.
func (s *story) needs(has bool) {
	if !has {
		s.Skip("this cannot happen to the engine")
	}
}

func damageCostsOneFrame(s *story) {
	s.needs(s.Damage != nil)
	n := s.some()
	s.append(100, 200, 300)
	s.apply("vero", set("a", "1"))
	for _, seq := range []uint64{n / 2, 1, n + 2, n + 3} {
		s.close()
		s.Damage(s.T, seq, s.frames[seq-1])
		s.damaged = append(s.damaged, seq)
		s.open()
		s.again()
	}
	for _, seq := range s.damaged {
		r := s.Reader(seq)
		s.next(r, seq)
		r.Close()
	}
	s.append(10)
	s.again()
}

func cutWriteIsIgnored(s *story) {
	s.needs(s.CutTail != nil)
	s.append(100)
	s.append(100)
	for _, cut := range []int{1, 500, 999, 1001} {
		s.append(1000)
		s.close()
		s.CutTail(s.T, cut)
		s.frames = s.frames[:s.last()-1] // as if it had not been acknowledged
		s.open()
		s.again()
		s.append(10)
		s.again()
	}
}

func framesAreShownWhenTheyAreSafe(s *story) {
	s.needs(s.Hold != nil)
	s.append(100)
	r := s.Reader(1)
	defer r.Close()
	s.next(r, 1)
	for range 3 {
		waits, release := s.Hold(s.T)
		appended := make(chan error, 1)
		data := s.frame(1000)
		go func() {
			_, err := s.Append(s.Context(), [][]byte{data}, s.last())
			appended <- err
		}()
		select {
		case <-waits:
		case <-within(s.T).Done():
			s.Fatal("Append does not sync")
		}
		s.end(r)
		s.end(s.Reader(s.last() + 1))
		if _, last := s.bounds(); last != s.last() {
			s.Errorf("the last frame is %d, and %d is not safe", last, s.last()+1)
		}
		release()
		s.must(<-appended)
		s.frames = append(s.frames, data)
		s.next(r, s.last())
	}
	s.again()
}

func fullDiskRefusesFrames(s *story) {
	s.needs(s.Fill != nil)
	s.some()
	s.apply("vero", set("a", "1"))
	r := s.Reader(1)
	defer r.Close()
	for range 2 {
		free := s.Fill(s.T)
		for range 3 {
			err := s.try(s.frame(100<<10), s.frame(200<<10))
			s.wantError(err, engine.ErrNoSpace)
			if errors.Is(err, engine.ErrFull) {
				s.Fatalf("a full disk is no full log: %v", err)
			}
			if err := s.Writable(s.Context(), 300<<10); err != nil {
				s.wantError(err, engine.ErrNoSpace)
			}
			s.check()
		}
		trimmed := s.Trim(s.Context(), s.last()) // may need room itself
		s.first = s.last()
		s.check()
		free()
		if trimmed != nil {
			s.Logf("Trim on a full disk: %v", trimmed)
			s.must(s.Trim(s.Context(), s.last()))
		}
		s.append(100 << 10)
		s.append(10)
		s.must(s.Writable(s.Context(), 300<<10))
		s.check()
	}
	first, _ := s.bounds()
	for seq := first; seq <= s.last(); seq++ {
		s.next(r, seq)
	}
	s.again()
	free := s.Fill(s.T)
	s.wantError(s.try(s.frame(100<<10)), engine.ErrNoSpace)
	free()
	s.crash()
	s.check()
}

// maxWait is how long an Apply without room is watched.
const maxWait = 300 * time.Millisecond

func fullDiskLetsApplyWait(s *story) {
	s.needs(s.Fill != nil)
	s.apply("vero", set("a", "1"))
	s.append(10)
	free := s.Fill(s.T)
	big := set("a", string(s.frame(8<<20)))
	ctx, cancel := context.WithTimeout(s.Context(), maxWait)
	defer cancel()
	err := s.Apply(ctx, "vero", []engine.Change{big})
	if err == nil {
		s.Fatal("8 MiB were written to a full disk")
	}
	s.wantError(err, engine.ErrUnsure)
	s.wantError(err, context.DeadlineExceeded)
	applied := make(chan error, 2)
	for _, destination := range []string{"vero", "iterable"} {
		go func() {
			applied <- s.Apply(within(s.T), destination, []engine.Change{set("a", "2"), set("b", "2")})
		}()
	}
	free()
	for range 2 {
		s.must(<-applied)
	}
	s.expect("vero", set("a", "2"), set("b", "2"))
	s.expect("iterable", set("a", "2"), set("b", "2"))
	s.again()
	s.apply("vero", set("b", "3"))
	s.append(10)
	s.again()
}

// settle finds out what became of an Append that returned an error.
func (s *story) settle(err error, data []byte) {
	s.Helper()
	if errors.Is(err, engine.ErrFull) || errors.Is(err, engine.ErrNotLast) || errors.Is(err, engine.ErrClosed) {
		s.Fatalf("a failed operation is reported as %v", err)
	}
	if _, last := s.bounds(); last == s.last()+1 {
		s.wantError(err, engine.ErrUnsure)
		s.frames = append(s.frames, bytes.Clone(data))
	}
}

func failedOperation(s *story) {
	s.needs(s.FailLog != nil)
	s.append(100)
	s.apply("vero", set("a", "1"))
	r := s.Reader(1)
	seq := uint64(1)
	follow := func() {
		s.Helper()
		for ; seq <= s.last(); seq++ {
			s.next(r, seq)
		}
		s.end(r)
	}
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		for skip := range 3 {
			s.close()
			r.Close()
			s.open() // where a log begins a file there are the most operations
			r = s.Reader(seq)
			failures := s.whileFailing(operations[name], skip, follow)
			if failures == 0 {
				s.Errorf("no Append failed with %s %d", name, skip)
			}
			s.append(200)
			s.apply("vero", set("a", fmt.Sprint(name, skip)))
			follow()
			s.again()
			r.Close()
			r = s.Reader(seq)
			follow()
		}
	}
	r.Close()
}

// whileFailing appends while an operation fails, until that was met, and returns how many Appends failed.
func (s *story) whileFailing(op Operation, skip int, follow func()) (failures int) {
	s.Helper()
	repair := s.FailLog(s.T, op, skip)
	defer repair()
	for n := 0; failures < 3 && n < 100; n++ {
		data := s.frame(50 << 10)
		if err := s.try(data); err != nil {
			failures++
			s.settle(err, data)
		}
		follow()
	}
	return failures
}

func crashAfterAFailedAppend(s *story) {
	s.needs(s.FailLog != nil)
	s.append(100)
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		for skip := range 3 {
			repair := s.FailLog(s.T, operations[name], skip)
			var err error
			var data []byte
			for n := 0; n < 100 && err == nil; n++ {
				data = s.frame(50 << 10)
				err = s.try(data)
			}
			if err == nil {
				s.Fatalf("no Append failed with %s %d", name, skip)
			}
			s.Store.Crash(s.T, s.Engine)
			repair()
			s.open()
			s.settle(err, data)
			s.check()
			s.append(10)
			s.check()
		}
	}
	s.again()
}

func brokenRecords(s *story) {
	s.needs(s.BreakRecords != nil)
	s.append(100)
	s.apply("vero", set("a", "1"), set("b", "1"))
	repair := s.BreakRecords(s.T)
	changes := []engine.Change{set("a", "2"), set("b", "2")}
	s.wantError(s.Apply(within(s.T), "vero", changes), engine.ErrFailed)
	select {
	case <-s.Engine.Failed():
	case <-within(s.T).Done():
		s.Fatal("Failed is not closed")
	}
	s.wantError(s.Apply(s.Context(), "iterable", changes), engine.ErrFailed)
	s.wantError(s.try(s.frame(10)), engine.ErrFailed)
	s.wantError(s.Writable(s.Context(), 10), engine.ErrFailed)
	s.checkFrames()
	s.Store.Crash(s.T, s.Engine)
	repair()
	s.open()
	if got, err := s.Get(s.Context(), "vero", []byte("a")); err == nil && string(got) == "2" {
		s.expect("vero", changes...) // it may have been stored
	}
	s.again()
	s.append(10)
	s.apply("vero", set("c", "3"))
	s.again()
}
