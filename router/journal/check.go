package journal

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"aka/router/journal/embedded"
	"aka/router/journal/embedded/keystore"
	"aka/router/journal/engine"
	"aka/router/journal/records"
)

// Report is what Check has found in a journal's folder.
type Report struct {
	Dir string `json:"dir"`
	// Sound reports whether nothing is missing or damaged. An unfinished write at the log's end is no damage.
	Sound        bool                `json:"sound"`
	Calls        CallsReport         `json:"calls"`
	Destinations []DestinationReport `json:"destinations"`
	// Damaged are the places in the log's files where something is wrong.
	Damaged []Damage `json:"damaged,omitempty"`
	// Problems are what is wrong otherwise, each with its file or destination.
	Problems []string `json:"problems,omitempty"`
}

// CallsReport is the log of accepted calls.
type CallsReport struct {
	// Files are its segments and Bytes their size.
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
	// Frames are those that can be read, and Calls the calls in them.
	Frames uint64 `json:"frames"`
	Calls  uint64 `json:"calls"`
	// First and Last are the sequences of the first and the last frame of which the folder tells.
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// Missing are the frames in between that are not there, Unreadable those that are and cannot be read.
	Missing    uint64 `json:"missing"`
	Unreadable uint64 `json:"unreadable"`
}

// Damage is a piece of a file that cannot be read.
type Damage struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Bytes  int64  `json:"bytes"`
	// Torn marks the beginning of a write that a crash interrupted: it was never acknowledged.
	Torn bool `json:"torn"`
}

// DestinationReport is what is kept for a destination.
type DestinationReport struct {
	Name string `json:"name"`
	// Type is its type when it ran last; "" where that is not known.
	Type string `json:"type,omitempty"`
	// Floor is the first frame that may hold a call that has not ended, Behind how many frames the log has from there on.
	Floor  uint64 `json:"floor"`
	Behind uint64 `json:"behind"`
	// Lost means that there was progress once.
	Lost bool `json:"lost"`
	// DeadLetters, Parked and Remembered count its dead letters, its parked calls, and the records of its memory of merges.
	DeadLetters uint64 `json:"dead_letters"`
	// Dropped counts the dropped calls that are kept.
	Dropped    uint64 `json:"dropped,omitempty"`
	Parked     uint64 `json:"parked"`
	Remembered uint64 `json:"remembered"`
	// Ledger counts the entries of the merge ledger.
	Ledger uint64 `json:"ledger"`
	// Unreadable counts those that cannot be.
	Unreadable uint64 `json:"unreadable"`
	Paused     bool   `json:"paused,omitempty"`
	Removed    bool   `json:"removed,omitempty"`
}

// Check reads every file of the journal in dir and says what it holds. It changes nothing. It fails when that is no journal
// (ErrNoJournal, ErrOtherVersion), when a process has it (ErrInUse), and when files cannot be read.
func Check(dir string) (*Report, error) {
	c := &checker{report: Report{Dir: dir}}
	i, err := embedded.Inspect(dir, c.frame)
	if err != nil {
		return nil, err
	}
	defer i.Close()
	c.log(i)
	if i.Records != nil {
		c.records(context.Background(), i.Records)
	}
	r := &c.report
	r.Sound = len(r.Problems) == 0 && r.Calls.Missing+r.Calls.Unreadable == 0 &&
		!slices.ContainsFunc(r.Damaged, func(d Damage) bool { return !d.Torn }) &&
		!slices.ContainsFunc(r.Destinations, func(d DestinationReport) bool { return d.Unreadable > 0 })
	return r, nil
}

// checker reads a journal.
type checker struct{ report Report }

func (c *checker) problem(format string, args ...any) {
	c.report.Problems = append(c.report.Problems, fmt.Sprintf(format, args...))
}

// frame takes in one frame of the log.
func (c *checker) frame(raw engine.Frame) {
	frame, err := decoded(raw)
	if err != nil {
		c.report.Calls.Unreadable++
		return
	}
	c.report.Calls.Frames++
	c.report.Calls.Calls += uint64(len(frame.Entries))
}

func (c *checker) log(i *embedded.Inspection) {
	calls := &c.report.Calls
	calls.Files, calls.Bytes, calls.First, calls.Last = i.Log.Segments, i.Log.Bytes, i.Log.First, i.Log.Last
	calls.Missing = calls.Last + 1 - min(calls.Last+1, calls.First+calls.Frames+calls.Unreadable)
	for _, f := range i.Log.Findings {
		c.report.Damaged = append(c.report.Damaged, Damage{f.File, f.Offset, f.Bytes, f.Torn})
	}
	c.report.Problems = append(slices.Clone(i.Problems), i.Log.Problems...)
}

func (c *checker) records(ctx context.Context, view keystore.Records) {
	names, err := view.Destinations(ctx)
	if err != nil {
		c.problem("records: %s", err)
		return
	}
	latest := uint64(0)
	for _, name := range names {
		d, err := records.Inspect(ctx, view, name)
		if err != nil {
			c.problem("destination %s: %s", name, err)
		}
		if d.Lost {
			c.problem("the progress of %s is lost: it gets the calls of the log again", name)
		}
		latest = max(latest, d.Head.Seq)
		if d.RemovedProgress && !d.IsAny() {
			c.report.Destinations = append(c.report.Destinations, DestinationReport{Name: name, Type: d.Type, Floor: d.Floor, Lost: d.Lost,
				DeadLetters: d.DeadLetters, Dropped: d.Dropped, Parked: d.Parked, Remembered: d.Remembered, Ledger: d.Ledger, Unreadable: d.Unreadable, Paused: d.Paused, Removed: d.Removed})
		}
	}
	if last := c.report.Calls.Last; last < latest {
		c.problem("the log of calls ends at frame %d, and frame %d was there when progress was saved", last, latest)
		c.report.Calls.Missing += latest - last
		c.report.Calls.Last = latest
	}
	next := c.report.Calls.Last + 1
	for i := range c.report.Destinations {
		d := &c.report.Destinations[i]
		d.Behind = next - min(next, max(d.Floor, c.report.Calls.First))
	}
	slices.SortFunc(c.report.Destinations, func(a, b DestinationReport) int { return cmp.Compare(a.Name, b.Name) })
}
