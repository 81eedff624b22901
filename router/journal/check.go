package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server/avl"
)

// Report is what Check has found in a journal's folder.
type Report struct {
	Dir          string              `json:"dir"`
	Sound        bool                `json:"sound"`
	Streams      []StreamReport      `json:"streams"`
	Destinations []DestinationReport `json:"destinations"`
	// Problems are what is wrong with the journal as a whole, each with its file.
	Problems []string `json:"problems,omitempty"`
}

// StreamReport is one part of a journal.
type StreamReport struct {
	// Name is calls, dead letters, parked calls, progress or merges.
	Name string `json:"name"`
	// Blocks are its files and Bytes their size.
	Blocks int   `json:"blocks"`
	Bytes  int64 `json:"bytes"`
	// Messages are what it holds: frames of calls, dead letters, parked calls, records of progress, blocks of merges. Calls are those in them.
	Messages int    `json:"messages"`
	Calls    uint64 `json:"calls"`
	// First and Last are sequences; Missing, of the calls, how many in between are not there.
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	Missing uint64 `json:"missing"`
	// Damaged are the pieces of its files that hold no sound record, Unreadable the messages that are stored soundly and
	// cannot be decoded all the same.
	Damaged    []Damage `json:"damaged,omitempty"`
	Unreadable uint64   `json:"unreadable"`
}

// Damage is a piece of a file that cannot be read.
type Damage struct {
	File   string `json:"file"`
	Offset int    `json:"offset"`
	Bytes  int    `json:"bytes"`
	// Torn tells that it is the beginning of a write that did not come to its end, for which nobody was answered.
	Torn bool `json:"torn"`
}

// DestinationReport is the saved progress of a destination.
type DestinationReport struct {
	Name string `json:"name"`
	// Floor is the first frame that may hold a call that has not ended, Behind how many frames the log has from there on.
	Floor  uint64    `json:"floor"`
	Behind uint64    `json:"behind"`
	Saved  time.Time `json:"saved"`
	// Lost tells that there was progress once.
	Lost bool `json:"lost"`
}

// ErrInUse tells that another process has the folder.
var ErrInUse = errors.New("in use by another aka")

// Check reads every file of the journal in dir and says what it holds. It changes nothing. It fails when that is no journal
// (ErrNoJournal), when a process has it (ErrInUse), and when files cannot be read.
func Check(dir string) (*Report, error) {
	release, err := readLock(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	return (&checker{x: newExamination(dir)}).check()
}

// readLock keeps others from opening the journal, without writing to its folder.
func readLock(dir string) (release func(), err error) {
	fresh, err := isNew(dir)
	if err != nil {
		return nil, err
	}
	if fresh {
		return nil, fmt.Errorf("%w: nothing in %s", ErrNoJournal, dir)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s is %w: stop it first", dir, ErrInUse)
	}
	return func() { _ = f.Close() }, nil
}

// checker reads a journal and, for Salvage, hands on what is sound.
type checker struct {
	x      *examination
	report Report
	stamp  *stamp
	merges map[string]bool // the subjects of the merges: a block of them that was saved again replaces what it was
	// block, when set, gets every block that was read, with the pieces that are not sound, and after the last block of a
	// stream its end.
	block func(stream string, file blockFile, block []byte, damaged []span) error
	end   func(stream string, last, expected uint64) error
}

func (c *checker) check() (*Report, error) {
	c.report.Dir, c.merges = c.x.dir, map[string]bool{}
	var err error
	if c.stamp, err = readStamp(c.x.dir); err != nil {
		if errors.Is(err, ErrOtherVersion) {
			return nil, err
		}
		c.problem(err)
	}
	for _, stream := range streamNames {
		if err := c.stream(stream); err != nil {
			return nil, err
		}
	}
	c.destinations()
	c.report.Sound = len(c.report.Problems) == 0
	slices.SortFunc(c.report.Streams, func(a, b StreamReport) int { return cmp.Compare(a.Name, b.Name) })
	for _, s := range c.report.Streams {
		torn := !slices.ContainsFunc(s.Damaged, func(d Damage) bool { return !d.Torn })
		c.report.Sound = c.report.Sound && torn && s.Missing == 0 && s.Unreadable == 0
	}
	return &c.report, nil
}

func (c *checker) problem(err error) { c.report.Problems = append(c.report.Problems, err.Error()) }

// partNames are what the streams are to people.
var partNames = map[string]string{callsStream: "calls", deadStream: "dead letters", parkedStream: "parked calls", progressStream: "progress", mergesStream: "merges"}

func (c *checker) stream(stream string) error {
	report := StreamReport{Name: partNames[stream]}
	msgs := msgsOf(c.x.dir, stream)
	files, err := blockFiles(msgs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	index, err := readIndex(stream, msgs)
	if err != nil {
		c.problem(err)
	}
	if len(files) == 0 && mayBeMissing(stream) {
		return nil
	}
	if len(files) == 0 {
		c.problem(fmt.Errorf("%s has no blocks", msgs))
	} else if err := allThere(stream, files, index); err != nil {
		c.problem(err)
	}
	var held avl.SequenceSet
	var block []byte
	for i, file := range files {
		if block, err = readBlock(file.path, block); err != nil {
			c.problem(err)
			continue
		}
		report.Blocks++
		report.Bytes += int64(len(block))
		damaged := newBlockScanner(stream, file.number).scan(block, func(r record) {
			report.Last = max(report.Last, r.seq)
			if stream == progressStream {
				c.x.note(r)
			}
			c.count(&report, &held, stream, r)
		})
		for _, d := range damaged {
			torn := i == len(files)-1 && d.to == len(block) && isTorn(block[d.from:])
			report.Damaged = append(report.Damaged, Damage{File: file.path, Offset: d.from, Bytes: d.size(), Torn: torn})
		}
		if c.block != nil {
			if err := c.block(stream, file, block, damaged); err != nil {
				return err
			}
		}
	}
	expected := max(index.lastSeq, c.x.expected(stream))
	if report.Messages = held.Size(); report.Messages > 0 {
		report.First, _ = held.MinMax()
	}
	switch {
	case stream == progressStream:
		report.Messages = len(c.x.progress)
	case stream == mergesStream:
		report.Messages = len(c.merges)
	case stream == callsStream && report.Messages > 0:
		report.Missing = max(report.Last, expected) + 1 - report.First - uint64(report.Messages)
	case stream == callsStream && expected > report.Last:
		report.Missing = expected - report.Last
	}
	c.report.Streams = append(c.report.Streams, report)
	if c.end != nil {
		return c.end(stream, report.Last, expected)
	}
	return nil
}

// count takes in one record. What was removed later is not counted.
func (c *checker) count(report *StreamReport, held *avl.SequenceSet, stream string, r record) {
	if r.tombstone {
		held.Delete(r.seq)
		return
	}
	if r.erased {
		return
	}
	held.Insert(r.seq)
	if stream == mergesStream {
		c.merges[string(r.subject)] = true
	}
	calls, err := callsIn(stream, r)
	if err != nil {
		report.Unreadable++
	}
	report.Calls += calls
}

// callsIn decodes a record as far as its stream's readers do.
func callsIn(stream string, r record) (calls uint64, err error) {
	switch stream {
	case callsStream:
		frame, err := decodeFrame(r.seq, r.payload)
		if err != nil {
			return 0, err
		}
		return uint64(len(frame.Entries)), nil
	case progressStream:
		if isForgotten(r.payload) {
			return 0, nil
		}
		_, err = DecodeProgress(r.payload)
		return 0, err
	case mergesStream:
		return 0, nil // what they hold is not the journal's
	}
	_, err = readMeta(r.payload, &struct{}{})
	return 1, err
}

func (c *checker) destinations() {
	calls := c.report.Streams[slices.Index(streamNames, callsStream)]
	next := max(calls.Last, c.x.expected(callsStream)) + 1
	for name, kept := range c.x.progress {
		d := DestinationReport{Name: name, Saved: time.Unix(0, kept.at).UTC()}
		if p, err := DecodeProgress(kept.payload); err == nil {
			d.Floor = p.floor
			d.Behind = next - min(next, p.floor)
		}
		c.report.Destinations = append(c.report.Destinations, d)
	}
	if c.stamp != nil {
		for _, said := range c.stamp.destinations {
			name := said.name
			if _, ok := c.x.progress[name]; !ok && name != anyDestination && !said.forgotten {
				c.report.Destinations = append(c.report.Destinations, DestinationReport{Name: name, Behind: next - min(next, calls.First), Lost: true})
				c.problem(fmt.Errorf("the progress of %s is lost: it will get the calls of the log again", name))
			}
		}
	}
	slices.SortFunc(c.report.Destinations, func(a, b DestinationReport) int { return cmp.Compare(a.Name, b.Name) })
}
