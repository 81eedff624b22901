package journal

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// large is an entry that fills a good part of a block with nine others.
func large(n int) Entry {
	e := entry("u", n)
	e.JSON = []byte(`{"pad":"` + strings.Repeat(string(rune('a'+n%26)), 800<<10) + `"}`)
	return e
}

func TestTheFilesGiveEveryFrameInOrderAcrossBlocks(t *testing.T) {
	j := open(t, testOptions(t))
	for i := range 30 {
		appendCalls(t, j, 0, large(i))
		appendCalls(t, j, 0, entry("u", 1000+i))
	}
	for _, from := range []uint64{1, 2, 20, 60} {
		var c blockCursor
		for seq := from; seq <= 60; seq++ {
			content := c.frame(msgsOf(j.options.Dir, callsStream), seq, 60)
			frame, err := decodeFrame(seq, content)
			must(t, err)
			want := fmt.Sprintf("u-%d", (seq-1)/2+(seq+1)%2*1000)
			if got := frame.Entries[0].MessageID; got != want || len(frame.Entries) != 1 {
				t.Fatalf("frame %d has %s, want %s", seq, got, want)
			}
		}
		c.close()
	}
}

func TestTheFilesGiveNothingThatTheyDoNotHave(t *testing.T) {
	j := open(t, testOptions(t))
	appendCalls(t, j, 0, entry("u", 1))
	appendCalls(t, j, 0, entry("u", 2))
	var c blockCursor
	for _, seq := range []uint64{3, 1, 3, 2} { // also behind an answer, and after one that went wrong
		if content := c.frame(msgsOf(j.options.Dir, callsStream), seq, 3); (content != nil) != (seq < 3) {
			t.Errorf("frame %d: %d bytes", seq, len(content))
		}
	}
	if c.frame(t.TempDir(), 1, 1) != nil {
		t.Error("a frame of an empty folder")
	}
}

// A write that failed may leave a sound record behind, which the next one takes the place of.
func TestWhatAFailedWriteLeftIsNotReadForWhatTookItsPlace(t *testing.T) {
	j := open(t, testOptions(t))
	appendCalls(t, j, 0, entry("u", 1))
	path := filepath.Join(msgsOf(j.options.Dir, callsStream), "1.blk")
	before, err := os.ReadFile(path)
	must(t, err)
	appendCalls(t, j, 0, entry("u", 2))
	after, err := os.ReadFile(path)
	must(t, err)
	// The same journal as it would be when frame 2 was written by one that failed, and then by another.
	folder := t.TempDir()
	other := open(t, testOptions(t))
	appendCalls(t, other, 0, entry("u", 1))
	appendCalls(t, other, 0, entry("v", 2))
	landed, err := os.ReadFile(filepath.Join(msgsOf(other.options.Dir, callsStream), "1.blk"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, "1.blk"), after, 0o600))
	var c blockCursor
	if c.frame(folder, 1, 1) == nil {
		t.Fatal("no frame 1")
	}
	if len(after) != len(landed) {
		t.Fatal("the two writes differ in length")
	}
	must(t, os.WriteFile(filepath.Join(folder, "1.blk"), append(before, landed[len(before):]...), 0o600))
	frame, err := decodeFrame(2, c.frame(folder, 2, 2))
	must(t, err)
	if got := frame.Entries[0].MessageID; got != "v-2" {
		t.Errorf("read %s", got)
	}
}

// Readers, the writer and the purge work on the same files.
func TestReadersOfTheFilesGetEveryFrameWhileItIsWrittenAndPurged(t *testing.T) {
	options := testOptions(t)
	options.Dedupe = 0
	j := open(t, options)
	const frames = 200
	floors := make(chan uint64, frames)
	var work sync.WaitGroup
	work.Go(func() {
		for i := range frames {
			e := entry("u", i)
			e.JSON = []byte(`{"pad":"` + strings.Repeat("x", 150<<10) + `"}`)
			if _, err := j.Append(t.Context(), []Entry{e}); err != nil {
				t.Error(err)
			}
		}
	})
	work.Go(func() {
		r := j.ReadFrom(1)
		random := rand.New(rand.NewPCG(1, 2))
		for i := range frames {
			if random.IntN(3) == 0 {
				j.mu.Lock()
				j.recent = recentFrames{} // so that the next ones come from the files
				j.mu.Unlock()
			}
			f, err := r.Next(t.Context())
			if err != nil || f.Seq != uint64(i+1) || f.Entries[0].MessageID != fmt.Sprintf("u-%d", i) {
				t.Errorf("frame %d: %v %v", i+1, f, err)
				break
			}
			floors <- f.Seq
		}
		close(floors)
	})
	for floor := range floors {
		if floor%10 == 0 {
			must(t, j.Purge(t.Context(), floor))
		}
	}
	work.Wait()
	if n := testutil.ToFloat64(j.metrics.missing) + testutil.ToFloat64(j.metrics.damaged); n > 0 {
		t.Errorf("%v frames are missing or damaged", n)
	}
}

// BenchmarkReadBacklog reads a log that is long behind, as a destination does that comes back.
func BenchmarkReadBacklog(b *testing.B) {
	options := testOptions(b)
	j := open(b, options)
	json := []byte(`{"pad":"` + strings.Repeat("x", 400) + `"}`)
	const frames, calls = 300, 500
	for i := range frames {
		batch := make([]Entry, calls)
		for n := range batch {
			batch[n] = entry(fmt.Sprintf("u%d", i), n)
			batch[n].JSON = json
		}
		appendCalls(b, j, 0, batch...)
	}
	head := j.head.seq
	j.mu.Lock()
	j.recent = recentFrames{}
	j.mu.Unlock()
	b.ReportAllocs()
	for b.Loop() {
		r := j.ReadFrom(1)
		for seq := uint64(1); seq <= head; seq++ {
			if f, err := r.Next(b.Context()); err != nil || f.Seq != seq {
				b.Fatal(f, err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*frames*calls), "ns/call")
}

func TestReadersAtOnePlaceShareWhatTheyReadFromDisk(t *testing.T) {
	j := open(t, testOptions(t))
	for i := range 40 { // several blocks
		appendCalls(t, j, 0, large(i), entry("u", 1000+i))
	}
	j.mu.Lock()
	j.recent = recentFrames{}
	j.mu.Unlock()
	head, last := j.ReadFrom(1), j.ReadFrom(1)
	waits := map[uint64]*Entry{}
	read := func(r *Reader) *Frame {
		f, err := r.Next(t.Context())
		must(t, err)
		if got, want := f.Entries[0].MessageID, fmt.Sprintf("u-%d", f.Seq-1); got != want || len(f.Entries) != 2 || f.Before != 2*(f.Seq-1) {
			t.Fatalf("frame %d has %s and %d calls behind %d", f.Seq, got, len(f.Entries), f.Before)
		}
		return f
	}
	for range 35 {
		f := read(head)
		if f.Seq != 3 && f.Seq < 30 {
			waits[f.Seq] = &f.Entries[1] // one call of a frame is enough
		}
	}
	runtime.GC()
	for seq := range uint64(40) {
		f := read(last)
		if f.Seq != seq+1 {
			t.Fatalf("frame %d at the place of %d", f.Seq, seq+1)
		}
		if e := waits[f.Seq]; e != nil && e != &f.Entries[1] {
			t.Errorf("frame %d was read again", f.Seq)
		}
	}
	for range 5 {
		read(head)
	}
	clear(waits)
	runtime.GC()
	if j.passed.at(10) != nil {
		t.Error("a frame that nobody has is kept")
	}
}

func TestAReaderThatStopsInABacklogLeavesNoFileOpen(t *testing.T) {
	j := open(t, testOptions(t))
	fillBlocks(t, j, 2)
	reader := j.ReadFrom(1)
	if _, err := reader.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if reader.files.file == nil {
		t.Fatal("the frame was not read from a file")
	}
	file := reader.files.file
	reader.Close()
	reader.Close()
	if _, err := file.Stat(); err == nil {
		t.Error("the file is open still")
	}
}
