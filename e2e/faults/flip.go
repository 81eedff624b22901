package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
	"aka/router/journal"
)

// flipKind is a kind of file in a journal's folder, and where in it a bit is flipped.
type flipKind struct {
	name, files string
	// from is where the part begins in which it is; counted from the end where it is negative.
	from int64
}

var flipKinds = []flipKind{
	{name: "segment", files: "log/*.seg"},
	{name: "last frame", files: "log/*.seg", from: -100},
	{name: "state of the log", files: "log/state"},
	{name: "identity", files: "aka-journal"},
	{name: "MANIFEST", files: "records/MANIFEST-*"},
	{name: "WAL", files: "records/*.log"},
	{name: "SST", files: "records/*.sst"},
	{name: "OPTIONS", files: "records/OPTIONS-*"},
	{name: "identity of the records", files: "records/KEYSTORE"},
}

// flips is a journal with a backlog, of which copies are damaged.
type flips struct {
	*world
	original string
	acks     []harness.Ack
	dead     int
	frames   map[harness.Step]uint64 // in which each call is
}

// behind is the vendor that has nothing before bits are flipped, and refusing the one that refuses some calls.
const behind, refusing = "vero", "kissmetrics"

// flipAtStart flips one bit in each kind of file of a stopped journal and starts aka on it. It starts, and everything is
// delivered but the calls of one damaged frame that is counted; or it refuses, and salvage saves as much.
func flipAtStart(t *trial) {
	f := &flips{world: quickWorld(t)}
	f.prepare()
	rounds := 2
	if t.Short {
		rounds = 1
	}
	for round := range rounds {
		for _, kind := range flipKinds {
			f.flip(kind, round)
		}
	}
}

// prepare makes the journal: with a backlog for one vendor, dead letters of another, and records in tables and in a WAL.
func (f *flips) prepare() {
	f.AddFaults(behind, simulator.Fault{Status: http.StatusServiceUnavailable})
	f.AddFaults(refusing, refusal())
	f.Start()
	l := f.startLoad()
	f.UntilAcked(l, once)
	f.End(l)
	f.UntilAllEnded(f.others(behind)...)
	f.dead, f.acks = len(f.DeadLetters()[refusing]), l.Acks()
	f.t.Accepted = len(f.acks)
	f.Stop()
	f.Start() // which makes a table of what is in the WAL
	f.Stop()
	for _, d := range f.Destinations {
		f.Account(d.Name).ClearFaults()
	}
	f.original = f.JournalDir
	f.locate()
}

// locate notes in which frame each call is. The journal itself is not opened.
func (f *flips) locate() {
	f.JournalDir = filepath.Join(f.Dir, "looked-at")
	f.copyOriginal(f.JournalDir)
	f.frames = map[harness.Step]uint64{}
	f.EachEntry(func(seq uint64, entry journal.Entry) {
		step, err := harness.ParseStep(entry.MessageID)
		harness.Check(f, err)
		f.frames[step] = seq
	})
}

func (f *flips) copyOriginal(to string) {
	harness.Check(f, os.CopyFS(to, os.DirFS(f.original)))
	harness.Check(f, os.Chmod(to, 0o700))
}

// flip flips one bit in a copy of the journal, and starts aka on it.
func (f *flips) flip(kind flipKind, round int) {
	dir := filepath.Join(f.Dir, fmt.Sprintf("%s-%d", strings.ReplaceAll(kind.name, " ", "-"), round))
	f.copyOriginal(dir)
	file, at, err := kind.flipBit(dir, f.t.dice)
	if err != nil {
		f.Fatalf("one bit of the %s: %v", kind.name, err)
	}
	f.t.Runs++
	before := f.contents(dir)
	sound := f.isSound(dir)
	where := fmt.Sprintf("bit %d of byte %d of %s", at%8, at/8, file)
	err = f.startOn(dir)
	switch {
	case err == nil:
		f.verifyStarted(where, sound)
	case errors.Is(err, harness.ErrEnded):
		f.verifyRefused(where, dir, file, sound, before)
	default:
		f.Errorf("%s: aka is neither ready nor has it ended after %s; its log is %q", where, verdictTimeout, f.Process.Log.String())
		f.Kill()
	}
}

// flipBit flips a random bit of a random file of the kind, and returns the file and which bit of it that is.
func (k flipKind) flipBit(dir string, dice *rand.Rand) (file string, bit int64, err error) {
	files, err := filepath.Glob(filepath.Join(dir, k.files))
	if err != nil {
		return "", 0, err
	}
	if len(files) == 0 {
		return "", 0, fmt.Errorf("there is no file %s", k.files)
	}
	path := files[dice.IntN(len(files))]
	if k.from < 0 {
		path = files[len(files)-1]
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", 0, err
	}
	from, size := k.from, int64(len(data))
	if from < 0 {
		from = max(0, size+from)
	}
	if size == 0 {
		return "", 0, fmt.Errorf("%s is empty", path)
	}
	bit = 8*from + dice.Int64N(8*(size-from))
	data[bit/8] ^= 1 << (bit % 8)
	file, err = filepath.Rel(dir, path)
	if err != nil {
		return "", 0, err
	}
	return file, bit, os.WriteFile(path, data, 0o600)
}

// contents are all files of a folder but the locks, which belong to who looks.
func (w *world) contents(dir string) map[string][]byte {
	all, err := contents(dir)
	harness.Check(w, err)
	return all
}

func contents(dir string) (map[string][]byte, error) {
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.EqualFold(entry.Name(), "lock") {
			return err
		}
		all[path], err = os.ReadFile(path)
		return err
	})
	return all, err
}

// isSound has aka check a folder.
func (f *flips) isSound(dir string) bool {
	_, err := f.Command("journal", "check", dir)
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) && failed.ExitCode() == 1 {
		return false
	}
	harness.Check(f, err)
	return true
}

// startOn starts aka on a folder. The vendors have forgotten what they got before.
func (f *flips) startOn(dir string) error {
	f.JournalDir = dir
	f.Configure()
	for _, d := range f.Destinations {
		f.Account(d.Name).Reset()
	}
	f.Launch()
	return f.Process.Ready(verdictTimeout)
}

// outcome is what aka delivered of a journal that was damaged, and what it says of the rest.
type outcome struct {
	gone float64 // frames that are damaged or missing, as aka counts them
	dead int
}

// deliver waits until everything has ended, and stops aka.
func (f *flips) deliver(where string) (o outcome) {
	f.untilDelivered(where)
	o = outcome{gone: f.gone(), dead: len(f.DeadLetters()[refusing])}
	f.Stop()
	return o
}

// deliverTimeout is how long a backlog of so few calls may take, on any machine.
const deliverTimeout = 5 * time.Minute

// untilDelivered waits until the vendor that was behind has all calls but those of damaged frames, and then until aka says that
// nothing waits. It goes on after deliverTimeout: what came is looked at afterwards.
func (f *flips) untilDelivered(where string) {
	f.atMost(deliverTimeout, "the calls are delivered", func() bool {
		gone := f.gone()
		_, frames := f.missing()
		return len(frames) <= int(gone)
	})
	waiting := 0.0
	f.atMost(deliverTimeout, "nothing waits", func() bool {
		waiting = f.Metric("aka_backlog_calls")
		return waiting == 0
	})
	if waiting > 0 {
		f.Errorf("%s: everything has ended, and %v calls wait by aka_backlog_calls, and for aka drain", where, waiting)
	}
}

// atMost polls until something is done, for a while at most.
func (f *flips) atMost(while time.Duration, what string, done func() bool) {
	over := time.Now().Add(while)
	f.Until(what, func() bool { return done() || time.Now().After(over) })
}

// gone is how many frames aka counts as damaged or missing.
func (f *flips) gone() float64 {
	return f.Metric("aka_journal_damaged_frames_total") + f.Metric("aka_journal_missing_frames_total")
}

// missing are the calls that the vendor that was behind has not got, and their frames.
func (f *flips) missing() (lost []harness.Step, frames map[uint64]bool) {
	lost, frames = harness.Missing(f.Deliveries(behind, harness.Expectation{}), steps(f.acks)), map[uint64]bool{}
	for _, step := range lost {
		frames[f.frames[step]] = true
	}
	return lost, frames
}

func steps(acks []harness.Ack) []harness.Step {
	all := make([]harness.Step, len(acks))
	for i, a := range acks {
		all[i] = a.Step
	}
	return all
}

// verifyStarted checks what a journal on which aka starts still gives.
func (f *flips) verifyStarted(where string, sound bool) {
	o := f.deliver(where)
	if o.gone > 0 && sound {
		f.Errorf("%s: %v frames are gone, and aka journal check finds the journal sound", where, o.gone)
	}
	if o.dead != f.dead {
		f.Errorf("%s: aka has started, and there are %d dead letters, not %d", where, o.dead, f.dead)
	}
	f.verifyNothingMore(where)
	lost := f.verifyRest(where, o.gone)
	f.Logf("%s: aka starts; %v frames are counted as damaged or missing, with %d calls", where, o.gone, lost)
}

// verifyNothingMore checks that the vendors that had everything got nothing.
func (f *flips) verifyNothingMore(where string) {
	for _, name := range f.others(behind) {
		if n := len(f.Account(name).Exchanges()); n > 0 {
			f.Errorf("%s: %s had everything, and got %d requests more", where, name, n)
		}
	}
}

// verifyRest checks that the vendor that was behind got all calls but those of so many frames, one at most, and in order.
func (f *flips) verifyRest(where string, gone float64) (lost int) {
	missing, frames := f.missing()
	all := f.Deliveries(behind, harness.Expectation{})
	if gone > 1 || len(frames) > int(gone) {
		f.t.Lost += len(missing)
		f.Errorf("%s: %d calls of %d frames were lost; %v frames are counted as damaged or missing", where, len(missing), len(frames), gone)
	}
	// Where an alias is lost, two ids have no order.
	ordered := slices.DeleteFunc(slices.Clone(all), func(d harness.Delivery) bool {
		return slices.Contains(missing, harness.Step{Person: d.Person, Index: harness.Basic.AliasStep()})
	})
	f.t.Swapped += f.VerifyOrder(where, ordered, nil)
	if again := harness.Repeats(all); len(again) > 0 {
		f.Errorf("%s: %d calls were delivered twice, such as %s", where, len(again), again[0].Step)
	}
	return len(missing)
}

// verifyRefused checks that aka said which file is damaged and changed nothing, and what salvage saves.
func (f *flips) verifyRefused(where, dir, file string, sound bool, before map[string][]byte) {
	code, err := f.Process.Wait(verdictTimeout)
	harness.Check(f, err)
	said := f.Process.Log.String()
	said = said[strings.LastIndexByte(said, '\n')+1:]
	if code != 1 || !strings.HasPrefix(said, "aka: ") || !strings.Contains(said, filepath.Base(file)) {
		f.Errorf("%s: aka ended with the code %d and not with one line that names the file: %s", where, code, said)
	}
	if sound {
		f.Errorf("%s: aka refused to start, and aka journal check finds the journal sound", where)
	}
	if name, same := sameContents(before, f.contents(dir)); !same {
		f.Errorf("%s: aka refused to start, and has changed %s", where, name)
	}
	f.verifySalvaged(where, dir)
}

func sameContents(before, now map[string][]byte) (name string, same bool) {
	for name := range now {
		if _, was := before[name]; !was {
			return name, false
		}
	}
	for name, data := range before {
		if got, is := now[name]; !is || !bytes.Equal(got, data) {
			return name, false
		}
	}
	return "", true
}

// salvaged is what aka journal salvage says.
type salvaged struct {
	To struct {
		Calls struct{ Missing float64 }
	}
	ProgressLost bool `json:"progress_lost"`
	Lost         uint64
	Problems     []string
}

// verifySalvaged salvages a folder, and starts aka on what came of it.
func (f *flips) verifySalvaged(where, dir string) {
	target := dir + "-salvaged"
	out, err := f.Command("journal", "salvage", dir, target, "--output", "json")
	if err != nil {
		f.Errorf("%s: the journal cannot be salvaged: %v", where, err)
		return
	}
	var s salvaged
	harness.Check(f, json.Unmarshal(out, &s))
	if err := f.startOn(target); err != nil {
		f.Errorf("%s: aka does not start on what was salvaged: %v", where, f.Process.Explained(err))
		f.Kill()
		return
	}
	o := f.deliver(where)
	if o.dead < f.dead && s.Lost == 0 && len(s.Problems) == 0 {
		f.Errorf("%s: salvaged were %d of %d dead letters, and it is not said that one is lost", where, o.dead, f.dead)
	}
	if !s.ProgressLost && s.Lost == 0 {
		f.verifyNothingMore(where + ", salvaged with its progress")
	}
	lost := f.verifyRest(where, max(o.gone, s.To.Calls.Missing))
	f.Logf("%s: aka does not start; salvaged, %d calls are lost, and %d of %d dead letters there", where, lost, o.dead, f.dead)
}
