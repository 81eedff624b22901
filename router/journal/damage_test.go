package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"aka/router/segment"
)

var (
	damagePlaces = flag.Int("damage.places", 40, "places at which a bit is flipped, or a block cut")
	damageSeed   = flag.Uint64("damage.seed", 1, "seed of the places")
)

// wholeJournal makes a closed journal with something in every stream, and returns the messageIds by frame.
func wholeJournal(t *testing.T) (Options, map[uint64]string) {
	t.Helper()
	options := testOptions(t)
	j := openLogged(t, options, zap.NewNop())
	progress, err := j.LoadProgress(t.Context(), "vero")
	if err != nil {
		t.Fatal(err)
	}
	frames := map[uint64]string{}
	for i := range 60 {
		e := entry("u", i)
		appendCalls(t, j, 0, e)
		frames[uint64(i+1)] = e.MessageID
		progress.Begin(NewFrame(uint64(i+1), uint64(i), []Entry{e}))
		if i < 20 || i%2 == 0 {
			progress.End(Position{Seq: uint64(i + 1)})
		}
		if i%10 == 9 {
			if err := j.SaveProgress(t.Context(), "vero", progress.Encode(false)); err != nil {
				t.Fatal(err)
			}
			must(t, j.Bury(t.Context(), []*DeadLetter{{Destination: "vero", Reason: "refused", Position: Position{Seq: uint64(i)}, Entry: e}}))
			must(t, j.SaveMerges(t.Context(), "vero", uint64(i/20), []byte(e.MessageID)))
			if _, err := j.Park(t.Context(), &Parked{Destination: "vero", Position: Position{Seq: uint64(i)}, Entry: e}); err != nil {
				t.Fatal(err)
			}
		}
	}
	j.Close()
	return options, frames
}

const wholeFloor = 22 // in wholeJournal, frame 22 is the first with a call that has not ended

// wholeMerges are the two versions of each block of merges.
var wholeMerges = map[uint64][2]string{0: {"u-9", "u-19"}, 1: {"u-29", "u-39"}, 2: {"u-49", "u-59"}}

// mergesOf returns what vero remembers.
func mergesOf(t *testing.T, j *Journal) map[uint64]string {
	t.Helper()
	blocks := map[uint64]string{}
	must(t, j.Merges(t.Context(), "vero", func(block uint64, data []byte) { blocks[block] = string(data) }))
	return blocks
}

// Merges are an aid: without them there is as much as there was in journals that had none.
func TestAJournalWithoutMergesIsWhole(t *testing.T) {
	options, frames := wholeJournal(t)
	for _, gone := range []string{filepath.Join(streamsOf(options.Dir), mergesStream), filepath.Join(msgsOf(options.Dir, mergesStream), "1"+blockSuffix)} {
		dir := copyFolder(t, options.Dir)
		path := strings.Replace(gone, options.Dir, dir, 1)
		must(t, os.RemoveAll(path))
		if report, err := Check(dir); err != nil || !report.Sound {
			t.Errorf("%s: %+v, %v", gone, report, err)
		}
		j, err := tryOpen(t, dir, zap.NewNop())
		must(t, err)
		if got := len(readAll(t, j, 1)); got != len(frames) || len(mergesOf(t, j)) > 0 {
			t.Errorf("%s: %d frames, and merges %v", gone, got, mergesOf(t, j))
		}
		must(t, j.SaveMerges(t.Context(), "vero", 1, []byte("new")))
		j.Close()
		j, err = tryOpen(t, dir, zap.NewNop())
		must(t, err)
		if got := mergesOf(t, j); len(got) != 1 || got[1] != "new" {
			t.Errorf("%s: merges %v after what was saved since", gone, got)
		}
	}
}

// The engine's checksum leaves out how long a message's headers are: with another length, a part of them would be the call.
func TestAFlippedBitInTheLengthOfHeadersIsSeen(t *testing.T) {
	options, _ := wholeJournal(t)
	block, err := os.ReadFile(filepath.Join(msgsOf(options.Dir, callsStream), "1"+blockSuffix))
	must(t, err)
	scanner := newBlockScanner(callsStream, 1)
	first, ok := scanner.record(block)
	if !ok || binary.LittleEndian.Uint32(block)&headersBit == 0 {
		t.Fatal("the first call is stored without headers")
	}
	at := recordHead + len(first.subject)
	for bit := range 32 {
		block[at+bit/8] ^= 1 << (bit % 8)
		if _, ok := scanner.record(block); ok {
			t.Errorf("bit %d: the record is taken for sound", bit)
		}
		block[at+bit/8] ^= 1 << (bit % 8)
	}
}

func TestAFlippedBitCostsAtMostWhatItHitsAndNeverChangesACall(t *testing.T) {
	options, frames := wholeJournal(t)
	random := rand.New(rand.NewPCG(*damageSeed, 4))
	for range *damagePlaces {
		dir := copyFolder(t, options.Dir)
		path, bit := randomBit(t, random, dir)
		flipBit(t, path, bit)
		where, _ := filepath.Rel(dir, path)
		where = fmt.Sprintf("bit %d of %s", bit, where)
		j, err := tryOpen(t, dir, zap.NewNop())
		if filepath.Base(path) == stampFile {
			if !errors.Is(err, ErrBroken) {
				t.Fatalf("%s: got %v", where, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		appendCalls(t, j, 0, entry("new", 1))
		if _, next := j.Head(); next.Seq != 62 {
			t.Fatalf("%s: the next frame is %d: a sequence is used again", where, next.Seq)
		}
		frames[61] = "new-1"
		lost := len(frames)
		for _, f := range readAll(t, j, 1) {
			if len(f.Entries) != 1 || f.Entries[0].MessageID != frames[f.Seq] {
				t.Fatalf("%s: frame %d holds %d calls, the first %q", where, f.Seq, len(f.Entries), f.Entries[0].MessageID)
			}
			lost--
		}
		p, err := j.LoadProgress(t.Context(), "vero")
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		dead, parked := 6, 6
		must(t, j.DeadLetters(t.Context(), DeadFilter{}, 0, func(d *DeadLetter) bool {
			dead--
			return d.Destination == "vero" && d.Reason == "refused"
		}))
		must(t, j.Parked(t.Context(), "vero", func(*Parked) { parked-- }))
		for block, data := range mergesOf(t, j) {
			if id := wholeMerges[block]; data != id[0] && data != id[1] {
				t.Fatalf("%s: block %d of merges holds %q", where, block, data)
			}
		}
		setAside := testutil.ToFloat64(j.metrics.setAside)
		if lost+dead+parked > 1 || float64(lost+dead+parked) > setAside {
			t.Fatalf("%s: lost %d frames, %d dead letters, %d parked calls; %v pieces set aside", where, lost, dead, parked, setAside)
		}
		if p.Floor() == 0 || p.Floor() > wholeFloor {
			t.Fatalf("%s: the floor is %d", where, p.Floor())
		}
		j.Close()
	}
}

func TestABlockThatWasCutOpensWithEveryFrameBeforeTheCut(t *testing.T) {
	options, frames := wholeJournal(t)
	block := filepath.Join(msgsOf(options.Dir, callsStream), "1"+blockSuffix)
	data, err := os.ReadFile(block)
	must(t, err)
	cuts := []int{0, 1, len(data) - 1}
	var ends []int
	newBlockScanner(callsStream, 1).scan(data, func(r record) {
		end := len(r.raw)
		if len(ends) > 0 {
			end += ends[len(ends)-1]
		}
		ends = append(ends, end)
		if len(ends)%4 == 0 || *damagePlaces > 500 {
			cuts = append(cuts, end)
		}
	})
	random := rand.New(rand.NewPCG(*damageSeed, 5))
	for range *damagePlaces {
		cuts = append(cuts, random.IntN(len(data)))
	}
	for i, cut := range cuts {
		dir := copyFolder(t, options.Dir)
		must(t, os.Truncate(filepath.Join(msgsOf(dir, callsStream), "1"+blockSuffix), int64(cut)))
		if i%2 == 0 { // as after a power cut
			must(t, os.Remove(filepath.Join(msgsOf(dir, callsStream), indexFile)))
		}
		core, logged := observer.New(zap.WarnLevel)
		j, err := tryOpen(t, dir, zap.New(core))
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		whole, found := slices.BinarySearch(ends, cut)
		if found {
			whole++
		}
		torn := logged.FilterMessageSnippet("cut off").Len()
		if torn != boolToInt(!found && cut > 0) {
			t.Fatalf("cut at %d: %d warnings", cut, torn)
		}
		appendCalls(t, j, 0, entry("new", 1)) // a reader waits behind what is gone from the end
		got := readAll(t, j, 1)
		got = got[:len(got)-1]
		if len(got) != whole {
			t.Fatalf("cut at %d: %d frames, %d are whole", cut, len(got), whole)
		}
		for _, f := range got {
			if f.Entries[0].MessageID != frames[f.Seq] {
				t.Fatalf("cut at %d: frame %d holds %s", cut, f.Seq, f.Entries[0].MessageID)
			}
		}
		j.Close()
	}
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestAJournalThatLacksAPartIsRefusedAndTheFileNamed(t *testing.T) {
	options, _ := wholeJournal(t)
	for name, remove := range map[string]func(dir string) (named string){
		"the calls":    func(dir string) string { return filepath.Join(streamsOf(dir), callsStream) },
		"a block":      func(dir string) string { return filepath.Join(msgsOf(dir, callsStream), "1"+blockSuffix) },
		"dead letters": func(dir string) string { return filepath.Join(streamsOf(dir), deadStream) },
		"parked calls": func(dir string) string { return filepath.Join(streamsOf(dir), parkedStream) },
		"progress":     func(dir string) string { return filepath.Join(streamsOf(dir), progressStream) },
		"all streams":  func(dir string) string { return filepath.Join(dir, "jetstream") },
	} {
		dir := copyFolder(t, options.Dir)
		gone := remove(dir)
		must(t, os.RemoveAll(gone))
		_, err := tryOpen(t, dir, zap.NewNop())
		if !errors.Is(err, ErrBroken) {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := os.Stat(gone); err == nil {
			t.Errorf("%s: made anew", name)
		}
	}
}

func TestABlockThatIsMissingIsNamed(t *testing.T) {
	options := testOptions(t)
	j := openLogged(t, options, zap.NewNop())
	fillBlocks(t, j, 3)
	j.Close()
	for _, gone := range []int{2, 3} {
		dir := copyFolder(t, options.Dir)
		path := filepath.Join(msgsOf(dir, callsStream), fmt.Sprint(gone)+blockSuffix)
		must(t, os.Remove(path))
		_, err := tryOpen(t, dir, zap.NewNop())
		if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), path) {
			t.Errorf("without block %d: %v", gone, err)
		}
	}
}

// fillBlocks appends until the calls take so many blocks, the last of them with one frame or more.
func fillBlocks(t *testing.T, j *Journal, blocks int) {
	t.Helper()
	for n := 0; ; n++ {
		e := entry("filler", n)
		e.JSON = []byte(`{"pad":"` + strings.Repeat("x", 500<<10) + `"}`)
		appendCalls(t, j, 0, e)
		files, err := blockFiles(msgsOf(j.options.Dir, callsStream))
		must(t, err)
		if len(files) == blocks {
			return
		}
	}
}

func TestDamageWhileTheJournalIsOpenCostsOnlyWhatItHits(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(block string) error
		first  uint64 // the frame that is hit; 0 is the whole first block
	}{
		"a flipped bit": {first: 3, damage: func(block string) error {
			flipBit(t, block, 8*(1200<<10))
			return nil
		}},
		// The engine says no more than that it has nothing.
		"a block that is gone":           {damage: os.Remove},
		"a block that cannot be a block": {damage: func(block string) error { return os.WriteFile(block, make([]byte, 100), 0o600) }},
	} {
		options := testOptions(t)
		options.Dedupe = 0
		j := openLogged(t, options, zap.NewNop())
		fillBlocks(t, j, 2)
		_, second := j.Head()
		for i := range 3 {
			appendCalls(t, j, 0, entry("u", i))
		}
		j.Close()
		j = openLogged(t, options, zap.NewNop()) // it has read nothing yet of the first block
		must(t, test.damage(filepath.Join(msgsOf(options.Dir, callsStream), "1.blk")))
		var got, want []uint64
		for _, f := range readAll(t, j, 1) {
			got = append(got, f.Seq)
		}
		_, end := j.Head()
		for seq := uint64(1); seq < end.Seq; seq++ {
			if seq+1 >= second.Seq || test.first > 0 && seq != test.first {
				want = append(want, seq)
			}
		}
		// What the engine has in memory is read all the same.
		for _, seq := range want {
			if !slices.Contains(got, seq) {
				t.Errorf("%s: read %v, want %v and perhaps others", name, got, want)
				break
			}
		}
		if missing := testutil.ToFloat64(j.metrics.missing); missing != float64(end.Seq-1)-float64(len(got)) {
			t.Errorf("%s: %v frames counted as missing, %d of %d read", name, missing, len(got), end.Seq-1)
		}
		j.Close()
	}
}

func TestAFolderOfSomethingElseIsRefusedAndLeftAsItIs(t *testing.T) {
	holdsSomething := t.TempDir()
	must(t, os.WriteFile(filepath.Join(holdsSomething, "thesis.txt"), nil, 0o600))
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{holdsSomething, file, filepath.Join(file, "below")} {
		if _, err := tryOpen(t, dir, zap.NewNop()); !errors.Is(err, ErrNoJournal) {
			t.Errorf("%s: got %v", dir, err)
		}
	}
	if entries, _ := os.ReadDir(holdsSomething); len(entries) != 1 {
		t.Errorf("%d entries in the folder that was refused", len(entries))
	}
}

func TestAFolderOfAnotherVersionIsRefused(t *testing.T) {
	options, _ := wholeJournal(t)
	body := "aka journal 7\n"
	must(t, os.WriteFile(filepath.Join(options.Dir, stampFile), []byte(body+"sum "+stampSum(body)), 0o600))
	if _, err := tryOpen(t, options.Dir, zap.NewNop()); !errors.Is(err, ErrOtherVersion) {
		t.Fatalf("got %v", err)
	}
}

func TestAFolderWithoutAStampIsAdopted(t *testing.T) {
	options, frames := wholeJournal(t)
	must(t, os.Remove(filepath.Join(options.Dir, stampFile)))
	j, err := tryOpen(t, options.Dir, zap.NewNop())
	must(t, err)
	if got := len(readAll(t, j, 1)); got != len(frames) {
		t.Fatalf("%d frames", got)
	}
	j.Close()
	if s, err := readStamp(options.Dir); err != nil || s == nil || !s.knows("vero") {
		t.Fatalf("the stamp is %v, %v", s, err)
	}
}

func TestADestinationThatLostItsProgressGetsCallsAgainAndANewOneDoesNot(t *testing.T) {
	options, _ := wholeJournal(t)
	block := filepath.Join(msgsOf(options.Dir, progressStream), "1"+blockSuffix)
	info, err := os.Stat(block)
	must(t, err)
	must(t, os.WriteFile(block, make([]byte, info.Size()), 0o600))
	j, err := tryOpen(t, options.Dir, zap.NewNop())
	must(t, err)
	lost, err := j.LoadProgress(t.Context(), "vero")
	must(t, err)
	added, err := j.LoadProgress(t.Context(), "mixpanel")
	must(t, err)
	if lost.Floor() != 1 || !lost.Crashed() || added.Floor() != 61 {
		t.Fatalf("the one that lost it begins at %d, the new one at %d", lost.Floor(), added.Floor())
	}
}

func tryOpen(t *testing.T, dir string, log *zap.Logger) (*Journal, error) {
	t.Helper()
	options := testOptions(t)
	options.Dir = dir
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	j, err := Open(ctx, options, log, prometheus.NewRegistry())
	if err == nil {
		t.Cleanup(j.Close)
	}
	return j, err
}

func openLogged(t *testing.T, o Options, log *zap.Logger) *Journal {
	t.Helper()
	j, err := Open(t.Context(), o, log, prometheus.NewRegistry())
	must(t, err)
	t.Cleanup(j.Close)
	return j
}

func copyFolder(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// randomBit picks a file by its size and a bit in it. The lock says nothing.
func randomBit(t *testing.T, random *rand.Rand, dir string) (path string, bit int) {
	t.Helper()
	var paths []string
	must(t, filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if info, statErr := os.Stat(p); err == nil && statErr == nil && info.Mode().IsRegular() && info.Size() > 0 && e.Name() != lockFile {
			paths = append(paths, p)
		}
		return err
	}))
	path = paths[random.IntN(len(paths))]
	info, err := os.Stat(path)
	must(t, err)
	return path, random.IntN(int(info.Size()) * 8)
}

func flipBit(t *testing.T, path string, bit int) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	data[bit/8] ^= 1 << (bit % 8)
	must(t, os.WriteFile(path, data, 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What another version of the program wrote is sound to the engine. It must not stand in the way of what can be read.
func TestARecordThatCannotBeReadIsPassedOver(t *testing.T) {
	j, registry, logs := openWatched(t, testOptions(t))
	for _, subject := range []string{parkedTopic + "vero", deadTopic + "vero.refused.track.website"} {
		_, err := j.store().js.Publish(t.Context(), subject, []byte("no record"))
		must(t, err)
	}
	pos := Position{1, 0}
	_, err := j.Park(t.Context(), &Parked{Destination: "vero", Position: pos, Entry: entry("u", 1)})
	must(t, err)
	bury(t, j, 2, "vero", "refused", "website", segment.Track)

	parked := 0
	must(t, j.Parked(t.Context(), "vero", func(*Parked) { parked++ }))
	if parked != 1 {
		t.Errorf("%d parked calls", parked)
	}
	wantMetric(t, registry, "aka_journal_damaged_frames_total", "\naka_journal_damaged_frames_total 1\n")
	must(t, j.UnparkAt(t.Context(), "vero", pos))
	if got := letterIDs(t, j, DeadFilter{}, 0); !slices.Equal(got, []uint64{2}) {
		t.Errorf("dead letters %v", got)
	}
	if n := logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 3 {
		t.Errorf("the log has %v", logs.All())
	}
	if _, err := j.DeadLetter(t.Context(), 1); !errors.Is(err, ErrDamaged) {
		t.Errorf("the dead letter that cannot be read: %v", err)
	}
	must(t, j.Discard(t.Context(), 1))
}

func TestAFolderThatIsOpenToOthersIsWarnedOf(t *testing.T) {
	for mode, warned := range map[os.FileMode]int{0o700: 0, 0o770: 0, 0o755: 1, 0o777: 1} {
		options := testOptions(t)
		must(t, os.MkdirAll(options.Dir, 0o700))
		must(t, os.Chmod(options.Dir, mode))
		_, _, logs := openWatched(t, options)
		if got := logs.FilterMessageSnippet("chmod 700").Len(); got != warned {
			t.Errorf("%v: warned %d times", mode, got)
		}
	}
}
