package journal

import (
	"aka/router/journal/embedded"
	"aka/router/journal/engine"
	"aka/router/journal/records"
)

// Salvaged is what Salvage has brought over.
type Salvaged struct {
	// From is what was found, and To what the new journal holds.
	From *Report `json:"from"`
	To   *Report `json:"to"`
	// ProgressLost means that it is not known any more which destinations had progress: every destination begins where the log
	// does.
	ProgressLost bool `json:"progress_lost"`
	// Lost counts the records beside the log that cannot be read: dead letters, parked calls, progress, merges.
	Lost uint64 `json:"lost"`
	// Problems are what could not be read, each with its file.
	Problems []string `json:"problems,omitempty"`
}

// Salvage writes what can be read of the journal in dir into a new one in target, which must not exist or be empty. dir is
// only read. Calls keep their places in the log, those that are lost leave theirs empty, so that progress means the same
// calls as before: what had ended at a destination does not go again, unless its progress is lost too.
func Salvage(dir, target string) (*Salvaged, error) {
	from, err := Check(dir)
	if err != nil {
		return nil, err
	}
	s := &salvager{salvaged: Salvaged{From: from}, next: from.Calls.Last + 1}
	first := max(from.Calls.First, 1)
	if from.Calls.Frames == 0 {
		first = s.next
	}
	if s.target, err = embedded.CreateTarget(target, first); err != nil {
		return nil, err
	}
	s.records.Apply = s.target.Apply
	i, err := embedded.Inspect(dir, s.frame)
	if err != nil {
		return nil, err
	}
	i.Close()
	if s.err != nil {
		return nil, s.err
	}
	if s.salvaged.Problems, err = embedded.EachRecord(dir, s.records.Take); err != nil {
		return nil, err
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	if err := copyOwnFiles(dir, target); err != nil {
		return nil, err
	}
	s.salvaged.To, err = Check(target)
	return &s.salvaged, err
}

// salvager writes a new journal.
type salvager struct {
	salvaged Salvaged
	target   *embedded.Target
	records  records.Salvager
	next     uint64
	err      error
}

// frame copies a frame. One that cannot be decoded is left out.
func (s *salvager) frame(raw engine.Frame) {
	if s.err != nil {
		return
	}
	if _, err := decoded(raw); err == nil {
		s.err = s.target.Frame(raw.Seq, raw.Data)
	}
}

// finish completes the new journal.
func (s *salvager) finish() error {
	known, err := s.records.Finish()
	if err != nil {
		return err
	}
	if !known && len(s.salvaged.From.Problems) > 0 {
		s.salvaged.ProgressLost = true
		if err := s.records.FinishUnknown(); err != nil {
			return err
		}
	}
	s.salvaged.Lost = s.records.Lost
	return s.target.Finish(max(s.next, s.records.Next))
}
