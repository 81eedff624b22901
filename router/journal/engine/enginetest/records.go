package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"aka/router/journal/engine"
)

var recordCases = map[string]func(*story){
	"Apply sets and deletes":                         applySetsAndDeletes,
	"of two changes to a key the later counts":       laterChangeCounts,
	"Scan keeps to its bounds and order":             scanKeepsToItsBounds,
	"Scan ends when visit returns false or an error": scanEnds,
	"Get returns a copy":                             getReturnsACopy,
	"destinations do not mix":                        destinationsDoNotMix,
	"destinations without records are not listed":    destinationsWithoutRecords,
	"destinations can be written at the same time":   destinationsAtTheSameTime,
	"large and empty values":                         largeAndEmptyValues,
}

func applySetsAndDeletes(s *story) {
	_, err := s.Get(s.Context(), "vero", []byte("a"))
	s.wantError(err, engine.ErrNoRecord)
	s.apply("vero", set("a", "1"), set("b", "2"), set("c", "3"))
	s.again()
	s.apply("vero", set("a", "4"), unset("b"), set("d", "5"), unset("never"))
	_, err = s.Get(s.Context(), "vero", []byte("b"))
	s.wantError(err, engine.ErrNoRecord)
	s.again()
	s.apply("vero")
	s.again()
}

func laterChangeCounts(s *story) {
	s.apply("vero", set("a", "1"), set("a", "2"), unset("b"), set("b", "3"), set("c", "4"), unset("c"))
	s.again()
	if got := fmt.Sprint(s.scan("vero", nil, nil)); got != "[a=2 b=3]" {
		s.Errorf("records are %s", got)
	}
	s.apply("vero", unset("a"), set("a", "5"), set("b", "6"), unset("b"))
	s.again()
}

// odd are keys that are hard to keep apart and in order.
var odd = []string{"", "\x00", "\x00\x00", "\x00\xff", "a", "a\x00", "aa", "ab", "b", "z", "\xfe", "\xff", "\xff\x00", "\xff\xff"}

func scanKeepsToItsBounds(s *story) {
	for i, key := range odd {
		s.apply("vero", set(key, fmt.Sprint(i)))
		s.apply("ver", set(key, "of another"))
		s.apply("vero2", set(key, "of another"))
	}
	s.again()
	for _, from := range odd {
		s.checkScan("vero", from, nil)
		for _, to := range odd {
			s.checkScan("vero", from, []byte(to))
		}
	}
	s.checkScan("unknown", "", nil)
}

func scanEnds(s *story) {
	s.apply("vero", set("a", "1"), set("b", "2"), set("c", "3"))
	visits := 0
	s.must(s.Scan(s.Context(), "vero", nil, nil, func(_, _ []byte) (bool, error) {
		visits++
		return visits < 2, nil
	}))
	if visits != 2 {
		s.Errorf("there are %d visits", visits)
	}
	mine := errors.New("mine")
	err := s.Scan(s.Context(), "vero", nil, nil, func(key, _ []byte) (bool, error) {
		if _, err := s.Get(s.Context(), "vero", bytes.Clone(key)); err != nil {
			return false, err
		}
		return true, mine
	})
	s.wantError(err, mine)
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if err := s.Scan(ctx, "vero", nil, nil, func(_, _ []byte) (bool, error) { return true, nil }); err != nil {
		s.wantError(err, context.Canceled)
	}
	s.check()
}

func getReturnsACopy(s *story) {
	key, value := []byte("key"), []byte("value")
	s.must(s.Apply(s.Context(), "vero", []engine.Change{{Key: key, Value: value}}))
	s.expect("vero", set("key", "value"))
	copy(key, "xxx")
	copy(value, "xxxxx")
	got, err := s.Get(s.Context(), "vero", []byte("key"))
	s.must(err)
	copy(got, "yyyyy")
	s.again()
}

func destinationsDoNotMix(s *story) {
	names := []string{"a", "aa", "a\x00", "a\x00b", "ab", "b", "a.b", strings.Repeat("a", 127), strings.Repeat("a", 128), strings.Repeat("a", 300)}
	for i, name := range names {
		for _, key := range odd {
			s.apply(name, set(key, fmt.Sprint(i, key)))
		}
	}
	s.again()
	for _, key := range odd {
		s.apply("a", unset(key))
	}
	s.again()
}

func destinationsWithoutRecords(s *story) {
	s.apply("vero", set("a", "1"))
	s.apply("iterable", set("a", "1"), set("b", "2"))
	s.apply("empty")
	s.again()
	s.apply("vero", unset("a"))
	s.apply("iterable", unset("a"))
	s.again()
}

func destinationsAtTheSameTime(s *story) {
	const writers, writes = 6, 25
	expected := make([][]engine.Change, writers)
	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			for n := range writes {
				changes := []engine.Change{set("progress", fmt.Sprint(n)), set(fmt.Sprint("dead", n), fmt.Sprint(i)), unset(fmt.Sprint("dead", n-3))}
				if err := s.Apply(s.Context(), fmt.Sprint("destination", i), changes); err != nil {
					s.Error(err)
					return
				}
				expected[i] = append(expected[i], changes...)
			}
		})
	}
	for range writes {
		s.append(100)
	}
	writing.Wait()
	for i, changes := range expected {
		s.expect(fmt.Sprint("destination", i), changes...)
	}
	s.again()
}

func largeAndEmptyValues(s *story) {
	s.apply("vero", set("progress", string(s.frame(8<<20))), set("empty", ""))
	s.apply("iterable", set("progress", string(s.frame(3<<20))), set("empty", ""))
	s.crash()
	s.check()
	s.apply("vero", set("progress", ""), set("empty", "no more"))
	s.check()
}
