package embedded

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"aka/router/journal/engine"
)

var (
	kills = flag.Int("engine.kills", 5, "how many processes TestSIGKILL kills")
	cuts  = flag.Int("engine.cuts", 10, "how many power cuts TestAPowerCut makes")
	seed  = flag.Uint64("embedded.seed", 1, "seed of the random tests")
)

const childEnv = "AKA_ENGINE_CHILD" // the folder of a child of this test

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error", err)
		}
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// What the writers below write follows from its number: a frame's sequence, or how many Applies a destination has had.

var destinations = []string{"vero", "iterable", "braze"}

var noise = func() []byte {
	random := rand.New(rand.NewPCG(7, 7))
	b := make([]byte, 128<<10)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}()

func frameOf(seq uint64) []byte {
	length := seq * 7919 % 2000
	if seq%50 == 0 {
		length = seq * 7919 % 60_000
	}
	return append(binary.LittleEndian.AppendUint64(nil, seq), noise[seq*31%50_000:][:length]...)
}

// keptItems is how many items a destination has.
const keptItems = 10

func changesOf(destination string, n uint64) []engine.Change {
	changes := []engine.Change{{Key: []byte("progress"), Value: progressOf(destination, n)}, {Key: itemKey(n), Value: []byte(destination)}}
	if n > keptItems {
		changes = append(changes, engine.Change{Key: itemKey(n - keptItems), Delete: true})
	}
	return changes
}

func itemKey(n uint64) []byte { return fmt.Appendf(nil, "item%012d", n) }

func progressOf(destination string, n uint64) []byte {
	b := fmt.Appendf(nil, "%s %d ", destination, n)
	if n%7 == 0 {
		b = append(b, noise[n*31%50_000:][:n*7919%30_000]...)
	}
	return b
}

// recordsOf returns what a destination has after n Applies.
func recordsOf(destination string, n uint64) map[string]string {
	records := map[string]string{}
	for i := uint64(1); i <= n; i++ {
		if i+keptItems < n {
			continue
		}
		for _, c := range changesOf(destination, i) {
			if c.Delete {
				delete(records, string(c.Key))
			} else {
				records[string(c.Key)] = string(c.Value)
			}
		}
	}
	return records
}

// applied returns how many Applies a destination has had. It fails unless the records are what they left.
func applied(t testing.TB, v engine.View, destination string) (n uint64) {
	t.Helper()
	got := map[string]string{}
	must(t, v.Scan(context.Background(), destination, nil, nil, func(key, value []byte) (bool, error) {
		got[string(key)] = string(value)
		return true, nil
	}))
	if len(got) == 0 {
		return 0
	}
	if _, err := fmt.Sscanf(got["progress"], destination+" %d ", &n); err != nil {
		t.Fatalf("progress of %s is %.40q", destination, got["progress"])
	}
	if !maps.Equal(got, recordsOf(destination, n)) {
		t.Fatalf("the %d records of %s are not those of its Apply %d", len(got), destination, n)
	}
	return n
}

// wantFrames fails unless the log has all frames up to the last, and at least one of those that are due. Only frames from
// uncertain on may be damaged.
func wantFrames(t testing.TB, v engine.View, due, uncertain uint64) (first, last uint64) {
	t.Helper()
	first, last, err := v.Bounds(context.Background())
	must(t, err)
	if last < due {
		t.Fatalf("the log ends with frame %d, and %d was acknowledged", last, due)
	}
	r := v.Reader(first)
	defer r.Close()
	for seq := first; seq <= last; seq++ {
		f, err := r.Next(context.Background())
		must(t, err)
		if f.Seq != seq || f.Err == nil && !bytes.Equal(f.Data, frameOf(seq)) || f.Err != nil && seq < uncertain {
			t.Fatalf("frame %d has sequence %d, %d bytes and the error %v", seq, f.Seq, len(f.Data), f.Err)
		}
	}
	if f, err := r.Next(context.Background()); !errors.Is(err, engine.ErrEnd) {
		t.Fatalf("behind the last frame comes %d, %v", f.Seq, err)
	}
	return first, last
}

// acks are the writes that were acknowledged.
type acks struct {
	mu      sync.Mutex
	frame   uint64
	trimmed uint64 // what Trim was asked for
	applies map[string]uint64
}

func newAcks() *acks { return &acks{applies: map[string]uint64{}} }

func (a *acks) do(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func (a *acks) snapshot() (frame, trimmed uint64, applies map[string]uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.frame, a.trimmed, maps.Clone(a.applies)
}

// wantAcked fails unless an engine has what was acknowledged. Where damage is set, frames behind them may be damaged.
func wantAcked(t testing.TB, v engine.View, frame, trimmed uint64, applies map[string]uint64, damage bool) {
	t.Helper()
	uncertain := uint64(1 << 63)
	if damage {
		uncertain = frame + 1
	}
	if first, _ := wantFrames(t, v, frame, uncertain); first > max(trimmed, 1) {
		t.Fatalf("the log begins with frame %d, and was trimmed below %d", first, trimmed)
	}
	for _, name := range destinations {
		if n := applied(t, v, name); n < applies[name] || n > applies[name]+1 {
			t.Fatalf("%s has had %d Applies, and %d were acknowledged", name, n, applies[name])
		}
	}
}

// load writes to an engine until done is closed, or until a write fails. It calls trim before each Trim, and the others after each
// write that was acknowledged.
type load struct {
	e       engine.Engine
	done    <-chan struct{}
	trim    func(below uint64)
	frame   func(last uint64)
	applied func(destination string, n uint64)
}

func (l *load) over() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func (l *load) run(begun map[string]uint64) error {
	errs := make(chan error, len(destinations)+1)
	go func() { errs <- l.appendFrames() }()
	for _, name := range destinations {
		go func() { errs <- l.applyTo(name, begun[name]) }()
	}
	var err error
	for range len(destinations) + 1 {
		err = errors.Join(err, <-errs)
	}
	return err
}

func (l *load) appendFrames() error {
	_, last, err := l.e.Bounds(context.Background())
	for n := uint64(1); err == nil && !l.over(); n++ {
		var frames [][]byte
		for range 1 + n%3 {
			frames = append(frames, frameOf(last+1+uint64(len(frames))))
		}
		if last, err = l.e.Append(context.Background(), frames, last); err != nil {
			return err
		}
		l.frame(last)
		if n%100 == 0 && last > 600 {
			l.trim(last - 600)
			err = l.e.Trim(context.Background(), last-600)
		}
	}
	return err
}

func (l *load) applyTo(destination string, n uint64) error {
	for !l.over() {
		n++
		if err := l.e.Apply(context.Background(), destination, changesOf(destination, n)); err != nil {
			return err
		}
		l.applied(destination, n)
	}
	return nil
}

// child writes as fast as it can, and prints what was acknowledged. It ends by a signal.
func child(dir string) error {
	e, err := Open(context.Background(), Options{Dir: dir, Log: zap.NewNop(), segmentBytes: testSegment})
	if err != nil {
		return err
	}
	begun := map[string]uint64{}
	for _, name := range destinations {
		value, err := e.Get(context.Background(), name, []byte("progress"))
		if err == nil {
			var n uint64
			_, err = fmt.Sscanf(string(value), name+" %d ", &n)
			begun[name] = n
		}
		if err != nil && !errors.Is(err, engine.ErrNoRecord) {
			return err
		}
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	say("open")
	l := load{
		e: e, done: make(chan struct{}),
		trim:    func(below uint64) { say("trim %d", below) },
		frame:   func(last uint64) { say("frame %d", last) },
		applied: func(destination string, n uint64) { say("%s %d", destination, n) },
	}
	return l.run(begun)
}

func TestSIGKILLLosesNothingThatWasAcknowledged(t *testing.T) {
	dir := t.TempDir() + "/journal"
	a := newAcks()
	random := rand.New(rand.NewPCG(*seed, 2))
	for round := range *kills {
		killAChild(t, dir, a, round == 0, time.Duration(random.IntN(400))*time.Millisecond)
		e := openAt(t, dir)
		wantAcked(t, e, a.frame, a.trimmed, a.applies, false)
		for _, name := range destinations {
			a.applies[name] = applied(t, e, name)
		}
		_, a.frame, _ = e.Bounds(t.Context())
		must(t, e.Close())
		t.Logf("round %d: %d frames, %v", round, a.frame, a.applies)
	}
	if a.frame == 0 || a.applies["vero"] == 0 {
		t.Error("nothing was written")
	}
}

// killAChild lets a child write for a while, kills it, and notes what it has printed. With written, the while begins only when something
// of each kind was written, on any machine.
func killAChild(t *testing.T, dir string, a *acks, written bool, after time.Duration) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewReader(out)
	for killed := false; ; {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) { // a line without end was not printed in time
			break
		}
		must(t, err)
		what, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		var n uint64
		_, _ = fmt.Sscan(number, &n)
		switch {
		case what == "open":
		case what == "frame":
			a.frame = max(a.frame, n)
		case what == "trim":
			a.trimmed = n
		case slices.Contains(destinations, what):
			a.applies[what] = n
		default:
			t.Fatalf("the child prints %q", line)
		}
		if !killed && (!written || a.frame > 0 && a.applies["vero"] > 0) {
			killed = true
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait()
}

func TestAPowerCutLosesNothingThatWasAcknowledged(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 3))
	p := inMemory(t)
	a := newAcks()
	for round := range *cuts {
		percent := []int{0, 20, 100}[round%3]
		e := p.open(t)
		a.do(func() { // what was not acknowledged, and is there all the same, stays
			_, a.frame, _ = e.Bounds(t.Context())
			for _, name := range destinations {
				a.applies[name] = applied(t, e, name)
			}
		})
		done, enough := make(chan struct{}), make(chan struct{})
		left := 20 + random.IntN(300)
		var once sync.Once
		count := func() {
			if left--; left == 0 {
				once.Do(func() { close(enough) })
			}
		}
		_, _, begun := a.snapshot()
		l := load{
			e: e, done: done,
			trim:    func(below uint64) { a.do(func() { a.trimmed = below }) },
			frame:   func(last uint64) { a.do(func() { a.frame = last; count() }) },
			applied: func(name string, n uint64) { a.do(func() { a.applies[name] = n; count() }) },
		}
		ended := make(chan error, 1)
		go func() { ended <- l.run(begun) }()
		<-enough
		frame, _, applies := a.snapshot()
		cut := p.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: random})
		_, trimmed, later := a.snapshot()
		close(done)
		must(t, <-ended)
		_ = e.Close()
		p.mem, p.disk = cut, newFaulty(cut)
		after, err := Open(t.Context(), p.options())
		if err != nil {
			t.Fatalf("seed %d, round %d, %d %% of what was not synced: %v", *seed, round, percent, err)
		}
		for _, name := range destinations {
			if n := applied(t, after, name); n < applies[name] || n > later[name]+1 {
				t.Fatalf("%s has had %d Applies, and %d to %d were acknowledged", name, n, applies[name], later[name])
			}
			applies[name] = applied(t, after, name)
		}
		wantAcked(t, after, frame, trimmed, applies, true)
		must(t, after.Close())
		t.Logf("round %d: %d frames, %v, %v", round, frame, applies, after.Findings())
		if len(after.Findings()) > 0 { // the next round wants frames without damage
			p = inMemory(t)
			a = newAcks()
		}
	}
}
