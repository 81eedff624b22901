package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/engine/enginetest"
	"aka/router/strictyaml"
)

// wholeFrames is how many frames wholeJournal has, of one call each; wholeFloor the first with a call that has not ended.
const wholeFrames, wholeFloor = 60, 22

// wholeJournal makes a closed journal with something of every kind, in several segments.
func wholeJournal(t *testing.T) Options {
	t.Helper()
	options := testOptions(t)
	options.MaxBytes = 8 * strictyaml.MiB // small segments
	j := open(t, options)
	fillWhole(t, j)
	j.Close()
	return options
}

func fillWhole(t *testing.T, j *Journal) {
	t.Helper()
	must(t, j.SetType(t.Context(), "vero", "vendor"))
	progress := load(t, j, "vero")
	for i := range wholeFrames {
		e := entry("u", i)
		e.JSON = []byte(`{"pad":"` + strings.Repeat("x", 50<<10) + `"}`)
		appendCalls(t, j, 0, e)
		progress.Begin(NewFrame(uint64(i+1), uint64(i), []Entry{e}))
		if i < 20 || i%2 == 0 {
			progress.End(Position{Seq: uint64(i + 1)})
		}
		if i%10 == 9 {
			e := entry("kept", i)
			must(t, j.SaveProgress(t.Context(), "vero", progress.Encode(false), []Fact{{Key: []byte{1, byte(i / 20)}, Value: []byte(e.MessageID)}}, nil))
			must(t, j.StoreDeadLetters(t.Context(), []*DeadLetter{{Destination: "vero", Reason: "refused", Position: Position{Seq: uint64(i)}, Entry: e}}))
			must(t, j.AppendLedger(t.Context(), "vero", []LedgerEntry{ledgerEntry(i)}))
			keepDropped(t, j, uint64(i), "vero")
			park(t, j, "vero", &Parked{Queue: uint64(1 + i/20), Rank: Position{Seq: uint64(i)}, Position: Position{Seq: uint64(i)}, Entry: e})
		}
	}
}

// wantWhole checks what fillWhole has stored, but for the frames that may be missing.
func wantWhole(t *testing.T, j *Journal, missing ...uint64) {
	t.Helper()
	want := uint64(1)
	for _, f := range readAll(t, j, 1) {
		for slices.Contains(missing, want) {
			want++
		}
		if id := entry("u", int(f.Seq-1)).MessageID; f.Seq != want || f.Entries[0].MessageID != id {
			t.Fatalf("frame %d holds %s, want frame %d with %s", f.Seq, f.Entries[0].MessageID, want, id)
		}
		want++
	}
	for slices.Contains(missing, want) {
		want++
	}
	if want != wholeFrames+1 {
		t.Fatalf("frames up to %d are there", want-1)
	}
	wantRecords(t, j)
}

func wantRecords(t *testing.T, j *Journal) {
	t.Helper()
	if ids := deadLetterIDs(t, j, DeadFilter{}, 0); len(ids) != 6 {
		t.Errorf("%d dead letters are there, want 6", len(ids))
	}
	if got, want := strings.Join(parkedIn(t, j, "vero"), " "), "1/9.0 1/19.0 2/29.0 2/39.0 3/49.0 3/59.0"; got != want {
		t.Errorf("parked are %s, want %s", got, want)
	}
	if facts := factsIn(t, j, "vero"); len(facts) < 3 || facts["\x01\x02"] != entry("kept", 59).MessageID {
		t.Errorf("the facts are %q, want 3, each as it was saved last", facts)
	}
	if page, err := j.Ledger(t.Context(), "vero", LedgerFilter{Digest: Digest{59}}, 0, 10); err != nil || len(page.Entries) != 1 {
		t.Errorf("the ledger has %+v of the last id, %v", page, err)
	}
	if page, err := j.Ledger(t.Context(), "", LedgerFilter{}, 0, 10); err != nil || len(page.Entries) != 6 {
		t.Errorf("the ledger has %d entries, want 6: %v", len(page.Entries), err)
	}
	if got := j.TypeOf("vero"); got != "vendor" {
		t.Errorf("its type is %q", got)
	}
}

// recordKey is the key of a numbered record: see package records.
func recordKey(kind byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, number)
}

func TestOpen_RefusesLessThanThereWas(t *testing.T) {
	remove := func(key []byte) []engine.Change { return []engine.Change{{Key: key, Delete: true}} }
	deadLetter := recordKey('i', 3)
	for name, changes := range map[string][]engine.Change{
		"5 dead letters, and had 6": remove(deadLetter),
		"5 parked calls, and had 6": remove(parkedKey(1, 19, 0)),
		"the log of calls ends at frame 60, and frame 61 was there when the progress of vero was saved": {{Key: []byte("h"), Value: codec.AppendSum([]byte{1, 61, 61})}},
		"of the ledger of vero is missing": nil, // see below
		"checksum":                         {{Key: []byte("a"), Value: []byte("\x01?")}},
	} {
		store := enginetest.NewMemory()
		fillWhole(t, openOn(t, store))
		if changes == nil {
			must(t, store.Scan(t.Context(), "vero", []byte("l"), []byte("m"), func(key, _ []byte) (bool, error) {
				changes = remove(slices.Clone(key))
				return true, nil
			}))
		}
		must(t, store.Apply(t.Context(), "vero", changes))
		_, err := OpenOn(t.Context(), store.Crash(), DefaultOptions, zap.NewNop(), prometheus.NewRegistry())
		if !errors.Is(err, ErrBroken) && !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestCheck_FindsAWholeJournalSoundAndChangesNothing(t *testing.T) {
	options := wholeJournal(t)
	before := contents(t, options.Dir)
	report, err := Check(options.Dir)
	must(t, err)
	if !maps.Equal(before, contents(t, options.Dir)) {
		t.Fatal("the folder was changed")
	}
	if !report.Sound || report.Calls.Frames != wholeFrames || report.Calls.Calls != wholeFrames || report.Calls.Files < 2 {
		t.Fatalf("got %+v", report)
	}
	want := DestinationReport{Name: "vero", Type: "vendor", Floor: wholeFloor, Behind: wholeFrames - wholeFloor + 1, DeadLetters: 6, Dropped: 6, Parked: 6, Remembered: 3, Ledger: 6}
	if len(report.Destinations) != 1 || report.Destinations[0] != want {
		t.Fatalf("got %+v\nwant %+v", report.Destinations, want)
	}
}

func TestCheck_RefusesWhatIsNoJournalOrInUse(t *testing.T) {
	options := testOptions(t)
	open(t, options)
	if _, err := Check(options.Dir); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
	if _, err := Salvage(options.Dir, filepath.Join(t.TempDir(), "new")); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
	if _, err := Check(t.TempDir()); !errors.Is(err, ErrNoJournal) {
		t.Errorf("got %v", err)
	}
}

// segments returns a log's files, oldest first.
func segments(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "log", "*.seg"))
	must(t, err)
	return files
}

// flipIn flips a bit of a frame's call, by its messageId.
func flipIn(t *testing.T, dir, messageID string) {
	t.Helper()
	for _, path := range segments(t, dir) {
		data, err := os.ReadFile(path)
		must(t, err)
		if at := strings.Index(string(data), messageID); at >= 0 {
			data[at] ^= 1
			must(t, os.WriteFile(path, data, 0o600))
			return
		}
	}
	t.Fatalf("%s is in no segment", messageID)
}

// Each kind of damage is named by the check and changes nothing, makes a start lose no more than it must, or refuse; and
// leaves something, which is in the salvaged journal, at its old place.
func TestDamage_IsToldRefusedAndSalvaged(t *testing.T) {
	for name, test := range map[string]struct {
		damage  func(dir string) error
		refused string   // what the refusal names; "" where aka starts
		missing []uint64 // frames that are not there any more
		again   bool     // progress is lost
		records bool     // dead letters and the like are lost
	}{
		"a flipped bit in a call": {missing: []uint64{31}, damage: func(dir string) error {
			flipIn(t, dir, "u-30")
			return nil
		}},
		"a flipped bit in the last call": {missing: []uint64{60}, damage: func(dir string) error {
			flipIn(t, dir, "u-59")
			return nil
		}},
		"a segment is missing":    {refused: ".seg", missing: seqs(21, 40), damage: func(dir string) error { return os.Remove(segments(t, dir)[1]) }},
		"the log is missing":      {refused: "log", missing: seqs(1, 60), damage: func(dir string) error { return os.RemoveAll(filepath.Join(dir, "log")) }},
		"the records are":         {refused: "records", again: true, records: true, damage: func(dir string) error { return os.RemoveAll(filepath.Join(dir, "records")) }},
		"the manifest is damaged": {refused: "MANIFEST", damage: func(dir string) error { return spoil(filepath.Join(dir, "records", "MANIFEST-*")) }},
		"the marker is damaged": {refused: "marker", damage: func(dir string) error {
			return os.RemoveAll(newest(filepath.Join(dir, "records", "marker.manifest.*")))
		}},
		"the identity is":        {refused: "aka-journal", damage: func(dir string) error { return os.Remove(filepath.Join(dir, "aka-journal")) }},
		"the identity is broken": {refused: "aka-journal", damage: func(dir string) error { return os.WriteFile(filepath.Join(dir, "aka-journal"), []byte("?"), 0o600) }},
	} {
		t.Run(name, func(t *testing.T) {
			options := wholeJournal(t)
			must(t, test.damage(options.Dir))
			before := contents(t, options.Dir)
			if report, err := Check(options.Dir); err != nil || report.Sound {
				t.Errorf("check finds it sound, or %v", err)
			}
			target := filepath.Join(t.TempDir(), "new")
			salvaged, err := Salvage(options.Dir, target)
			must(t, err)
			if test.refused != "" {
				_, err := Open(t.Context(), options, zap.NewNop(), prometheus.NewRegistry())
				if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), filepath.Join(options.Dir, "")) || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("got %v", err)
				}
			}
			if !maps.Equal(before, contents(t, options.Dir)) {
				t.Error("the folder was changed")
			}
			if test.refused == "" {
				j := open(t, options)
				wantWhole(t, j, test.missing...)
				if n := testutil.ToFloat64(j.metrics.damaged); n != 1 {
					t.Errorf("%v frames are counted as damaged", n)
				}
				j.Close()
			}
			if salvaged.To.Problems != nil || salvaged.ProgressLost != test.again {
				t.Errorf("progress lost: %t; the new journal has %v", salvaged.ProgressLost, salvaged.To.Problems)
			}
			wantSalvaged(t, target, test.missing, test.again, test.records)
		})
	}
}

// newest returns the last of the files of a pattern.
func newest(pattern string) string {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		panic(fmt.Sprint(pattern, files, err))
	}
	return files[len(files)-1]
}

// spoil changes a byte in the middle of a file.
func spoil(pattern string) error {
	path := newest(pattern)
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 0x10
	return os.WriteFile(path, data, 0o600)
}

func seqs(from, to uint64) (all []uint64) {
	for seq := from; seq <= to; seq++ {
		all = append(all, seq)
	}
	return all
}

func wantSalvaged(t *testing.T, dir string, missing []uint64, again, records bool) {
	t.Helper()
	options := testOptions(t)
	options.Dir = dir
	j := open(t, options)
	if !records {
		wantRecords(t, j)
	}
	p := load(t, j, "vero")
	appendCalls(t, j, 0, entry("new", 1))
	next := p.Floor()
	for _, f := range readAll(t, j, p.Floor()) {
		for slices.Contains(missing, next) {
			next++
		}
		if f.Seq != next {
			t.Fatalf("frame %d follows, want %d", f.Seq, next)
		}
		next++
		p.Begin(f)
		had := f.Seq <= 20 || f.Seq%2 == 1 && f.Seq <= wholeFrames
		if p.HasEnded(Position{Seq: f.Seq}) != (had && !again) {
			t.Errorf("frame %d: ended is %v", f.Seq, had == again)
		}
	}
	if next != wholeFrames+2 {
		t.Errorf("frames up to %d are there", next-1)
	}
}

// contents returns every file of a folder with what it holds.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "lock" {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	}))
	return files
}

// A backup that is made while calls come in opens, and has all that was accepted before it began.
func TestBackup_OpensWithAllThatWasAcceptedBefore(t *testing.T) {
	options := testOptions(t)
	options.MaxBytes = 8 * strictyaml.MiB
	j := open(t, options)
	fillWhole(t, j)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				appendCalls(t, j, 0, entry("more", n))
				must(t, j.SaveProgress(t.Context(), "vero", NewProgress(Position{Seq: 1}, 0).Encode(false), nil, nil))
			}
		}
	}()
	copied := testOptions(t)
	for range 3 {
		copied.Dir = filepath.Join(t.TempDir(), "backup")
		calls, _ := j.Head()
		must(t, j.Backup(t.Context(), copied.Dir))
		backup := open(t, copied)
		if got, _ := backup.Head(); got < calls {
			t.Errorf("the backup has %d calls, and %d were accepted before it", got, calls)
		}
		wantRecords(t, backup)
		if ids := messageIDs(readAll(t, backup, 1)); ids[wholeFrames-1] != "u-59" {
			t.Errorf("frame %d of the backup has %s", wholeFrames, ids[wholeFrames-1])
		}
		backup.Close()
	}
	close(stop)
	<-stopped
	if report, err := Check(copied.Dir); err != nil || !report.Sound {
		t.Errorf("the backup is %+v, %v", report, err)
	}
}
