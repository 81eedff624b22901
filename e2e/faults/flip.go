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
	"aka/e2e/crowd"
	"aka/e2e/harness"
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
	r        *Result
	original string
	acks     []ack
	dead     int
	frames   map[crowd.Place]uint64 // in which each call is
}

// behind is the vendor that has nothing before bits are flipped, and refusing the one that refuses some calls.
const behind, refusing = "vero", "kissmetrics"

// flipAtStart flips one bit in each kind of file of a stopped journal and starts aka on it. It starts, and everything is
// delivered but the calls of one damaged frame that is counted; or it refuses, and salvage saves as much.
func flipAtStart(h *suite, r *Result) error {
	w, err := newWorld(h, plan{delivery: quick})
	if err != nil {
		return err
	}
	defer w.close()
	f := &flips{world: w, r: r}
	if err := f.prepare(); err != nil {
		return err
	}
	rounds := 2
	if h.short {
		rounds = 1
	}
	for round := range rounds {
		for _, kind := range flipKinds {
			if err := f.flip(kind, round); err != nil {
				return fmt.Errorf("one bit of the %s: %w", kind.name, err)
			}
		}
	}
	return nil
}

// prepare makes the journal: with a backlog for one vendor, dead letters of another, and records in tables and in a WAL.
func (f *flips) prepare() error {
	err := f.account(behind).AddFaults(simulator.Fault{Status: http.StatusServiceUnavailable})
	if err == nil {
		err = f.account(refusing).AddFaults(refusal())
	}
	if err == nil {
		_, err = f.start()
	}
	if err != nil {
		return err
	}
	l := startLoad(f.world, f.h.rate)
	if err := l.untilAcked(f.world, once); err != nil {
		return err
	}
	if err := l.end(f.world); err != nil {
		return err
	}
	if err := f.untilAllEnded(f.others()...); err != nil {
		return err
	}
	dead, err := f.deadLetters()
	if err != nil {
		return err
	}
	f.dead, f.acks = len(dead[refusing]), l.taken()
	f.r.Accepted = len(f.acks)
	if _, err := f.stop(); err != nil {
		return err
	}
	if _, err := f.start(); err != nil { // which makes a table of what is in the WAL
		return err
	}
	if _, err := f.stop(); err != nil {
		return err
	}
	for _, d := range destinations {
		f.account(d.name).ClearFaults()
	}
	f.original = f.journal
	return f.locate()
}

func (f *flips) others() (names []string) {
	for _, d := range destinations {
		if d.name != behind {
			names = append(names, d.name)
		}
	}
	return names
}

// locate notes in which frame each call is. The journal itself is not opened.
func (f *flips) locate() error {
	f.journal = filepath.Join(f.dir, "looked-at")
	if err := copyFolder(f.journal, f.original); err != nil {
		return err
	}
	f.frames = map[crowd.Place]uint64{}
	return f.eachCall(func(seq uint64, messageID string) error {
		place, err := crowd.PlaceOf(messageID)
		f.frames[place] = seq
		return err
	})
}

func copyFolder(to, from string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return os.Chmod(to, 0o700)
}

// flip flips one bit in a copy of the journal, and starts aka on it.
func (f *flips) flip(kind flipKind, round int) error {
	dir := filepath.Join(f.dir, fmt.Sprintf("%s-%d", strings.ReplaceAll(kind.name, " ", "-"), round))
	if err := copyFolder(dir, f.original); err != nil {
		return err
	}
	file, at, err := kind.flipBit(dir, f.h.dice)
	if err != nil {
		return err
	}
	f.r.Runs++
	before, err := contents(dir)
	if err != nil {
		return err
	}
	sound, err := f.isSound(dir)
	if err != nil {
		return err
	}
	where := fmt.Sprintf("bit %d of byte %d of %s", at%8, at/8, file)
	err = f.startOn(dir)
	switch {
	case err == nil:
		return f.verifyStarted(where, sound)
	case errors.Is(err, harness.ErrEnded):
		return f.verifyRefused(where, dir, file, sound, before)
	case errors.Is(err, harness.ErrNotReady):
		f.r.wrong("%s: aka is neither ready nor has it ended after %s; its log is %q", where, verdictTimeout, f.process.Log.String())
		f.process.Kill()
		return nil
	}
	return err
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
func (f *flips) isSound(dir string) (bool, error) {
	out, err := f.aka("journal", "check", dir)
	failed := (*exec.ExitError)(nil)
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &failed) && failed.ExitCode() == 1:
		return false, nil
	}
	return false, fmt.Errorf("%w\n%s", err, out)
}

// startOn starts aka on a folder. The vendors have forgotten what they got before.
func (f *flips) startOn(dir string) error {
	f.journal = dir
	if err := f.configure(plan{delivery: quick}); err != nil {
		return err
	}
	for _, d := range destinations {
		f.account(d.name).Reset()
	}
	if err := f.launch(); err != nil {
		return err
	}
	return f.process.Ready(verdictTimeout)
}

// outcome is what aka delivered of a journal that was damaged, and what it says of the rest.
type outcome struct {
	gone float64 // frames that are damaged or missing, as aka counts them
	dead int
}

// deliver waits until everything has ended, and stops aka.
func (f *flips) deliver(where string) (o outcome, err error) {
	if err := f.untilDelivered(where); err != nil {
		return o, err
	}
	if o.gone, err = f.gone(); err != nil {
		return o, err
	}
	dead, err := f.deadLetters()
	if err != nil {
		return o, err
	}
	o.dead = len(dead[refusing])
	_, err = f.stop()
	return o, err
}

// deliverTimeout is how long a backlog of so few calls may take, on any machine.
const deliverTimeout = 10 * time.Second

// untilDelivered waits until the vendor that was behind has all calls but those of damaged frames, and then until aka says that
// nothing waits. It goes on after deliverTimeout: what came is looked at afterwards.
func (f *flips) untilDelivered(where string) error {
	err := f.atMost(deliverTimeout, "the calls are delivered", func() (bool, error) {
		gone, err := f.gone()
		if err != nil {
			return false, err
		}
		_, frames, err := f.missing()
		return len(frames) <= int(gone), err
	})
	if err != nil {
		return err
	}
	waiting := 0.0
	err = f.atMost(deliverTimeout, "nothing waits", func() (ended bool, err error) {
		waiting, err = f.metric("aka_backlog_calls")
		return waiting == 0, err
	})
	if err == nil && waiting > 0 {
		f.r.wrong("%s: everything has ended, and %v calls wait by aka_backlog_calls, and for aka drain", where, waiting)
	}
	return err
}

// atMost polls until something is done, for a while at most.
func (f *flips) atMost(while time.Duration, what string, done func() (bool, error)) error {
	over := time.Now().Add(while)
	return f.until(what, func() (bool, error) {
		ok, err := done()
		return ok || time.Now().After(over), err
	})
}

// gone is how many frames aka counts as damaged or missing.
func (f *flips) gone() (sum float64, err error) {
	for _, name := range []string{"aka_journal_damaged_frames_total", "aka_journal_missing_frames_total"} {
		n, err := f.metric(name)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// missing are the calls that the vendor that was behind has not got, and their frames.
func (f *flips) missing() (lost []crowd.Place, frames map[uint64]bool, err error) {
	all, err := expectation{}.deliveries(f.account(behind).Exchanges())
	if err != nil {
		return nil, nil, err
	}
	meant := make([]crowd.Place, len(f.acks))
	for i, a := range f.acks {
		meant[i] = a.Place
	}
	lost, frames = crowd.Missing(all, meant), map[uint64]bool{}
	for _, place := range lost {
		frames[f.frames[place]] = true
	}
	return lost, frames, nil
}

// verifyStarted checks what a journal on which aka starts still gives.
func (f *flips) verifyStarted(where string, sound bool) error {
	o, err := f.deliver(where)
	if err != nil {
		return err
	}
	if o.gone > 0 && sound {
		f.r.wrong("%s: %v frames are gone, and aka journal check finds the journal sound", where, o.gone)
	}
	if o.dead != f.dead {
		f.r.wrong("%s: aka has started, and there are %d dead letters, not %d", where, o.dead, f.dead)
	}
	for _, name := range f.others() {
		if n := len(f.account(name).Exchanges()); n > 0 {
			f.r.wrong("%s: %s had everything and got %d requests more", where, name, n)
		}
	}
	lost, err := f.verifyRest(where, o.gone)
	if err != nil {
		return err
	}
	f.r.measured("%s: aka starts; %v frames are counted as damaged or missing, with %d calls", where, o.gone, lost)
	return nil
}

// verifyRest checks that the vendor that was behind got all calls but those of so many frames, one at most, and in order.
func (f *flips) verifyRest(where string, gone float64) (lost int, err error) {
	missing, frames, err := f.missing()
	if err != nil {
		return 0, err
	}
	all, err := expectation{}.deliveries(f.account(behind).Exchanges())
	if err != nil {
		return 0, err
	}
	if gone > 1 || len(frames) > int(gone) {
		f.r.Lost += len(missing)
		f.r.wrong("%s: %d calls of %d frames were lost; %v frames are counted as damaged or missing", where, len(missing), len(frames), gone)
	}
	if swaps := f.swaps(all, missing); len(swaps) > 0 {
		f.r.Swapped += len(swaps)
		f.r.wrong("%s: %d deliveries were out of order, such as %s after step %d", where, len(swaps), swaps[0].Place, swaps[0].After)
	}
	if again := crowd.Repeats(all); len(again) > 0 {
		f.r.wrong("%s: %d calls were delivered twice, such as %s", where, len(again), again[0].Place)
	}
	return len(missing), nil
}

// verifyRefused checks that aka said which file is damaged and changed nothing, and what salvage saves.
func (f *flips) verifyRefused(where, dir, file string, sound bool, before map[string][]byte) error {
	code, err := f.process.Wait(verdictTimeout)
	if err != nil {
		return err
	}
	said := f.process.Log.String()
	said = said[strings.LastIndexByte(said, '\n')+1:]
	if code != 1 || !strings.HasPrefix(said, "aka: ") || !strings.Contains(said, filepath.Base(file)) {
		f.r.wrong("%s: aka ended with the code %d and not with one line that names the file: %s", where, code, said)
	}
	if sound {
		f.r.wrong("%s: aka refused to start, and aka journal check finds the journal sound", where)
	}
	now, err := contents(dir)
	if err != nil {
		return err
	}
	if name, same := sameContents(before, now); !same {
		f.r.wrong("%s: aka refused to start, and has changed %s", where, name)
	}
	return f.verifySalvaged(where, dir)
}

// swaps are the deliveries that were out of order. Where an alias is lost, two ids have no order.
func (f *flips) swaps(all []crowd.Delivery, missing []crowd.Place) []crowd.Swap {
	return slices.DeleteFunc(crowd.Swaps(all, nil), func(s crowd.Swap) bool {
		return slices.Contains(missing, crowd.Place{Person: s.Person, Step: crowd.AliasStep})
	})
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
func (f *flips) verifySalvaged(where, dir string) error {
	target := dir + "-salvaged"
	out, err := f.aka("journal", "salvage", dir, target, "--output", "json")
	if err != nil {
		f.r.wrong("%s: the journal cannot be salvaged: %v", where, err)
		return nil
	}
	var s salvaged
	if err := json.Unmarshal(out, &s); err != nil {
		return fmt.Errorf("aka journal salvage: %w", err)
	}
	if err := f.startOn(target); err != nil {
		f.r.wrong("%s: aka does not start on what was salvaged: %v", where, f.process.Explained(err))
		f.process.Kill()
		return nil
	}
	o, err := f.deliver(where)
	if err != nil {
		return err
	}
	if o.dead < f.dead && s.Lost == 0 && len(s.Problems) == 0 {
		f.r.wrong("%s: salvaged were %d of %d dead letters, and it is not said that one is lost", where, o.dead, f.dead)
	}
	if !s.ProgressLost && s.Lost == 0 {
		for _, name := range f.others() {
			if n := len(f.account(name).Exchanges()); n > 0 {
				f.r.wrong("%s: %s had everything, its progress was salvaged, and it got %d requests more", where, name, n)
			}
		}
	}
	lost, err := f.verifyRest(where, max(o.gone, s.To.Calls.Missing))
	if err != nil {
		return err
	}
	f.r.measured("%s: aka does not start; salvaged, %d calls are lost, and %d of %d dead letters there", where, lost, o.dead, f.dead)
	return nil
}
