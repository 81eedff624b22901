package enginetest

import (
	"fmt"

	"aka/router/journal/engine"
)

var bothCases = map[string]func(*story){
	"records need no frames, and frames no records": oneWithoutTheOther,
	"a crash keeps what was acknowledged":           crashKeepsWhatWasAcknowledged,
	"a closed engine returns ErrClosed":             closedEngineReturnsErrClosed,
	"Stats are those of what is stored":             statsOfWhatIsStored,
	"Writable reports what Append will do":          writableReports,
}

func oneWithoutTheOther(s *story) {
	s.apply("vero", set("a", "1"))
	s.again()
	s.append(10)
	s.again()
	s.apply("vero", unset("a"))
	s.again()
	s.append(10)
	s.again()
}

func crashKeepsWhatWasAcknowledged(s *story) {
	for round := range 6 {
		for n := range 5 {
			s.append(100*n, 10)
			s.apply("vero", set("progress", fmt.Sprint(round, n)), set(fmt.Sprint("dead", round, n), "x"))
			s.apply("iterable", set("progress", fmt.Sprint(round, n)), unset(fmt.Sprint("dead", round, n)))
		}
		switch round % 3 { // what comes last
		case 0:
			s.append(1000)
		case 1:
			s.apply("vero", set("last", fmt.Sprint(round)))
		case 2:
			s.must(s.Trim(s.Context(), s.last()/2))
			s.first = s.last() / 2
		}
		s.crash()
		s.check()
	}
}

func closedEngineReturnsErrClosed(s *story) {
	s.append(10)
	s.apply("vero", set("a", "1"))
	r := s.Reader(1)
	defer r.Close()
	s.close()
	_, err := s.Append(s.Context(), [][]byte{s.frame(10)}, s.last())
	s.wantError(err, engine.ErrClosed)
	s.wantError(s.Apply(s.Context(), "vero", []engine.Change{set("a", "2")}), engine.ErrClosed)
	s.wantError(s.Trim(s.Context(), 1), engine.ErrClosed)
	s.wantError(s.Writable(s.Context(), 10), engine.ErrClosed)
	_, err = r.Next(s.Context())
	s.wantError(err, engine.ErrClosed)
	_, err = s.Get(s.Context(), "vero", []byte("a"))
	s.wantError(err, engine.ErrClosed)
	err = s.Scan(s.Context(), "vero", nil, nil, func(_, _ []byte) (bool, error) { return true, nil })
	s.wantError(err, engine.ErrClosed)
	_, err = s.Destinations(s.Context())
	s.wantError(err, engine.ErrClosed)
	s.must(s.Close())
	s.open()
	s.again()
}

func statsOfWhatIsStored(s *story) {
	stats := func() engine.Stats {
		s.Helper()
		stats, err := s.Stats(s.Context())
		s.must(err)
		first, last := s.bounds()
		if want := last + 1 - first; stats.Frames != want {
			s.Fatalf("%d frames, want %d", stats.Frames, want)
		}
		size := uint64(0)
		for seq := first; seq <= last; seq++ {
			size += uint64(len(s.frames[seq-1]))
		}
		if stats.LogBytes < size || stats.LogBytes > size+size/2+1<<20 {
			s.Fatalf("the log takes %d bytes for %d bytes of frames", stats.LogBytes, size)
		}
		return stats
	}
	stats()
	n := s.some()
	s.apply("vero", set("a", "1"))
	full := stats()
	s.must(s.Trim(s.Context(), n))
	s.first = n
	if got := stats(); got.LogBytes > full.LogBytes/2 {
		s.Errorf("the log takes %d bytes after a Trim of all frames but one, and took %d", got.LogBytes, full.LogBytes)
	}
	s.again()
	stats()
}

func writableReports(s *story) {
	s.must(s.Writable(s.Context(), 1000))
	s.append(1000)
	s.must(s.Writable(s.Context(), 0))
	select {
	case <-s.Engine.Failed():
		s.Error("the engine has failed")
	default:
	}
	s.check()
}
