package journal

import (
	"fmt"
	"os"
	"path/filepath"
)

// Salvaged is what Salvage has brought over.
type Salvaged struct {
	// From is what was found, and To what the new journal holds.
	From *Report `json:"from"`
	To   *Report `json:"to"`
	// ProgressLost tells that it is not known any more which destinations had progress: every destination begins where the log
	// does.
	ProgressLost bool `json:"progress_lost"`
}

// Salvage writes what can be read of the journal in dir into a new one in target, which must not exist or be empty. dir is
// only read. Calls keep their places in the log, those that are lost leave theirs empty, so that the progress means the same
// calls as before: what had ended at a destination does not go again, unless its progress is lost too.
func Salvage(dir, target string) (*Salvaged, error) {
	fresh, err := isNew(target)
	if err != nil {
		return nil, err
	}
	if !fresh {
		return nil, fmt.Errorf("%s holds a journal: name a new folder", target)
	}
	release, err := readLock(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	s := &salvager{target: target, numbers: map[string]int{}, broken: map[string]bool{}}
	c := &checker{x: newExamination(dir), block: s.block, end: s.end}
	for _, stream := range streamNames {
		if err := os.MkdirAll(msgsOf(target, stream), 0o700); err != nil {
			return nil, err
		}
	}
	from, err := c.check()
	if err != nil {
		return nil, err
	}
	next := stamp{}
	if c.stamp != nil {
		next = c.stamp.clone()
	}
	for name := range c.x.progress {
		if !next.knows(name) {
			next.destinations = append(next.destinations, standing{name: name})
		}
	}
	if c.stamp == nil && s.broken[progressStream] {
		next.destinations = append(next.destinations, standing{name: anyDestination})
	}
	if err := next.write(target); err != nil {
		return nil, err
	}
	to, err := Check(target)
	return &Salvaged{From: from, To: to, ProgressLost: next.knows(anyDestination)}, err
}

// salvager writes the blocks of a new journal.
type salvager struct {
	target  string
	numbers map[string]int // the last block written of each stream
	broken  map[string]bool
	out     []byte
}

// block writes the sound records of one block. They are sealed anew: a block that is missing leaves no gap in the numbers.
func (s *salvager) block(stream string, file blockFile, block []byte, damaged []span) error {
	s.out = s.out[:0]
	scanner := newBlockScanner(stream, s.numbers[stream]+1)
	newBlockScanner(stream, file.number).scan(block, func(r record) { s.out = scanner.seal(s.out, r) })
	s.broken[stream] = s.broken[stream] || len(damaged) > 0
	return s.write(stream, s.out)
}

func (s *salvager) write(stream string, block []byte) error {
	s.numbers[stream]++
	return writeDurably(filepath.Join(msgsOf(s.target, stream), fmt.Sprint(s.numbers[stream])+blockSuffix), block)
}

// end keeps the places of what is gone from the stream's end. A stream that lost all its blocks has an empty one.
func (s *salvager) end(stream string, last, expected uint64) error {
	none := s.numbers[stream] == 0
	s.broken[stream] = s.broken[stream] || none
	switch {
	case last < expected:
		return s.write(stream, newBlockScanner(stream, s.numbers[stream]+1).tombstone(expected, 0))
	case none:
		return s.write(stream, nil)
	}
	return nil
}
