package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"
)

func TestCheckFindsAWholeJournalSoundAndChangesNothing(t *testing.T) {
	options, _ := wholeJournal(t)
	before := contents(t, options.Dir)
	report, err := Check(options.Dir)
	must(t, err)
	if !maps.Equal(before, contents(t, options.Dir)) {
		t.Fatal("the folder was changed")
	}
	if !report.Sound {
		t.Fatalf("not sound: %+v", report)
	}
	got := map[string]int{}
	for _, s := range report.Streams {
		got[s.Name] = s.Messages
	}
	if want := map[string]int{"calls": 60, "dead letters": 6, "parked calls": 6, "progress": 1, "merges": 3}; !maps.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if d := report.Destinations; len(d) != 1 || d[0].Name != "vero" || d[0].Floor != wholeFloor || d[0].Behind != 60-wholeFloor+1 {
		t.Fatalf("got %+v", d)
	}
}

func TestCheckNamesDamageAndChangesNothing(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"a block of calls is missing": func(dir string) error { return os.RemoveAll(msgsOf(dir, callsStream)) },
		"a flipped bit": func(dir string) error {
			flipBit(t, filepath.Join(msgsOf(dir, callsStream), "1.blk"), 8*500)
			return nil
		},
		"no progress": func(dir string) error { return os.Truncate(filepath.Join(msgsOf(dir, progressStream), "1.blk"), 0) },
		"the stamp":   func(dir string) error { return os.WriteFile(filepath.Join(dir, stampFile), []byte("?"), 0o600) },
		"the end":     func(dir string) error { return os.Truncate(filepath.Join(msgsOf(dir, callsStream), "1.blk"), 0) },
	} {
		options, _ := wholeJournal(t)
		must(t, damage(options.Dir))
		before := contents(t, options.Dir)
		report, err := Check(options.Dir)
		if err != nil || report.Sound {
			t.Errorf("%s: sound, or %v", name, err)
		}
		if !maps.Equal(before, contents(t, options.Dir)) {
			t.Errorf("%s: the folder was changed", name)
		}
	}
}

func TestAJournalInUseIsNotChecked(t *testing.T) {
	options := testOptions(t)
	open(t, options)
	if _, err := Check(options.Dir); !errors.Is(err, ErrInUse) {
		t.Fatalf("got %v", err)
	}
	if _, err := Salvage(options.Dir, filepath.Join(t.TempDir(), "new")); !errors.Is(err, ErrInUse) {
		t.Fatalf("got %v", err)
	}
	if _, err := Check(t.TempDir()); !errors.Is(err, ErrNoJournal) {
		t.Fatalf("got %v", err)
	}
}

// Each kind of damage leaves something, which must be in the new journal, at its old place.
func TestWhatIsSalvagedIsDeliveredAndWhatHadEndedIsNot(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(dir string) error
		lost   int // frames
		again  bool
	}{
		"nothing is damaged":   {damage: func(string) error { return nil }},
		"the stamp is missing": {damage: func(dir string) error { return os.Remove(filepath.Join(dir, stampFile)) }},
		"descriptions are missing": {damage: func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(streamsOf(dir), callsStream, "meta.inf")),
				os.WriteFile(filepath.Join(streamsOf(dir), progressStream, "meta.sum"), []byte("?"), 0o600))
		}},
		"a block is damaged in the middle": {lost: 1, damage: func(dir string) error {
			flipBit(t, filepath.Join(msgsOf(dir, callsStream), "1.blk"), 8*500)
			return nil
		}},
		"dead letters are gone": {damage: func(dir string) error { return os.RemoveAll(filepath.Join(streamsOf(dir), deadStream)) }},
		"progress is gone":      {again: true, damage: func(dir string) error { return os.RemoveAll(filepath.Join(streamsOf(dir), progressStream)) }},
		"progress and stamp are gone": {again: true, damage: func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(streamsOf(dir), progressStream)), os.Remove(filepath.Join(dir, stampFile)))
		}},
		"merges are gone":    {damage: func(dir string) error { return os.RemoveAll(filepath.Join(streamsOf(dir), mergesStream)) }},
		"all calls are gone": {lost: 60, damage: func(dir string) error { return os.RemoveAll(filepath.Join(streamsOf(dir), callsStream)) }},
	} {
		options, frames := wholeJournal(t)
		must(t, test.damage(options.Dir))
		before := contents(t, options.Dir)
		target := filepath.Join(t.TempDir(), "new")
		salvaged, err := Salvage(options.Dir, target)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !maps.Equal(before, contents(t, options.Dir)) {
			t.Errorf("%s: the old folder was changed", name)
		}
		if len(salvaged.To.Problems) > 0 != test.again && name != "progress and stamp are gone" {
			t.Errorf("%s: the new journal has %v", name, salvaged.To.Problems)
		}
		j, err := tryOpen(t, target, zap.NewNop())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := j.LoadProgress(t.Context(), "vero")
		must(t, err)
		if merges := mergesOf(t, j); len(merges) != 3 && name != "merges are gone" {
			t.Errorf("%s: merges %v are left", name, merges)
		}
		appendCalls(t, j, 0, entry("new", 1))
		delivered := 0
		for _, f := range readAll(t, j, p.Floor()) {
			p.Begin(f)
			had := f.Seq <= 20 || f.Seq%2 == 1 && f.Seq <= 60
			if p.HasEnded(Position{Seq: f.Seq}) != (had && !test.again) {
				t.Errorf("%s: frame %d: ended is %v", name, f.Seq, had == test.again)
			}
			if want := frames[f.Seq]; want != "" && f.Entries[0].MessageID != want && test.lost < len(frames) {
				t.Errorf("%s: frame %d holds %s", name, f.Seq, f.Entries[0].MessageID)
			}
			delivered++
		}
		want := len(frames) + 1 - int(p.Floor()) + 1
		if test.lost == len(frames) {
			want = 1
		} else if p.Floor() == 1 {
			want -= test.lost
		}
		if delivered != want {
			t.Errorf("%s: %d frames read from %d, want %d", name, delivered, p.Floor(), want)
		}
		j.Close()
	}
}

func TestABlockThatIsGoneIsPassedOverAfterSalvage(t *testing.T) {
	options := testOptions(t)
	j := openLogged(t, options, zap.NewNop())
	fillBlocks(t, j, 3)
	_, next := j.Head()
	j.Close()
	must(t, os.Remove(filepath.Join(msgsOf(options.Dir, callsStream), "2.blk")))
	target := filepath.Join(t.TempDir(), "new")
	salvaged, err := Salvage(options.Dir, target)
	must(t, err)
	lost := salvaged.To.Streams[0].Missing
	if lost == 0 || salvaged.To.Streams[0].Messages+int(lost) != int(next.Seq)-1 {
		t.Fatalf("%d frames and %d missing, %d were written", salvaged.To.Streams[0].Messages, lost, next.Seq-1)
	}
	j, err = tryOpen(t, target, zap.NewNop())
	must(t, err)
	var ids []string
	for _, f := range readAll(t, j, 1) {
		ids = append(ids, f.Entries[0].MessageID)
		if want := fmt.Sprintf("filler-%d", f.Seq-1); f.Entries[0].MessageID != want {
			t.Fatalf("frame %d holds %s", f.Seq, f.Entries[0].MessageID)
		}
	}
	if len(ids) != int(next.Seq)-1-int(lost) {
		t.Fatalf("%d frames read", len(ids))
	}
}

// contents returns every file of a folder with what it holds.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	}))
	return files
}
