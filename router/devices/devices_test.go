package devices

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var testKey = []byte("a key of these tests, 32 bytes..")

// run runs a filter while do works with it, and returns the errors that it reported.
func run(t *testing.T, dir string, do func(*Filter)) (failures []error) {
	t.Helper()
	f := New(Options{Key: testKey, Dir: dir, OnError: func(err error) { failures = append(failures, err) }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Run(ctx)
	}()
	synctest.Wait()
	do(f)
	cancel()
	<-ended
	return failures
}

func expect(t *testing.T, f *Filter, id string, seen, sure bool) {
	t.Helper()
	if gotSeen, gotSure := f.Seen(id); gotSeen != seen || gotSure != sure {
		t.Errorf("%s: seen %v, sure %v; want %v, %v", id, gotSeen, gotSure, seen, sure)
	}
}

// A crash takes what Run would write within a second, unless it was flushed.
func TestWhatWasFlushedIsSeenAgainAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		run(t, dir, func(f *Filter) {
			f.Add("device-1")
			f.Flush(t.Context())
			f.Flush(t.Context())
			again := New(Options{Key: testKey, Dir: dir})
			again.load()
			expect(t, again, "device-1", true, true)
			f.Add("device-2")
		})
		run(t, dir, func(f *Filter) {
			expect(t, f, "device-1", true, true)
			expect(t, f, "device-2", true, true)
		})
	})
}

// What is flushed waits for what is read, and is added to that.
func TestAFlushBeforeTheFilesAreReadWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		run(t, dir, func(f *Filter) { f.Add("device-1") })
		f := New(Options{Key: testKey, Dir: dir})
		f.Add("device-2")
		flushed := make(chan struct{})
		go func() {
			defer close(flushed)
			f.Flush(t.Context())
		}()
		synctest.Wait()
		select {
		case <-flushed:
			t.Error("it has flushed")
		default:
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			f.Run(ctx)
		}()
		<-flushed
		cancel()
		<-ended
		f.Add("device-3")
		f.Flush(t.Context()) // a save that comes last
		run(t, dir, func(f *Filter) {
			for _, id := range []string{"device-1", "device-2", "device-3"} {
				expect(t, f, id, true, true)
			}
		})
	})
}

func TestIDsAreSeenAgainAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for start := range 3 {
			if failures := run(t, dir, func(f *Filter) {
				for before := range start {
					expect(t, f, "device-"+strconv.Itoa(before), true, true)
				}
				expect(t, f, "other", false, true)
				f.Add("device-" + strconv.Itoa(start))
				f.Add("device-" + strconv.Itoa(start))
			}); failures != nil {
				t.Fatal(failures)
			}
		}
		if size := sizeOf(t, dir, currentName); size != int64(headerSize+3*digestSize) {
			t.Errorf("the file has %d bytes", size)
		}
	})
}

func TestIDsAreOnDiskAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		run(t, dir, func(f *Filter) {
			f.Add("device")
			time.Sleep(flushInterval)
			synctest.Wait()
			if size := sizeOf(t, dir, currentName); size != int64(headerSize+digestSize) {
				t.Errorf("the file has %d bytes", size)
			}
		})
	})
}

func TestAnIDIsForgottenAfterTwoGenerations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		run(t, dir, func(f *Filter) {
			f.Add("old")
			time.Sleep(Lifetime + checkInterval)
			f.Add("new")
			expect(t, f, "old", true, true)
		})
		time.Sleep(Lifetime - 3*time.Hour)
		run(t, dir, func(f *Filter) {
			expect(t, f, "old", true, true)
			time.Sleep(6 * time.Hour)
			expect(t, f, "old", false, true)
			expect(t, f, "new", true, true)
		})
		time.Sleep(2 * Lifetime)
		run(t, dir, func(f *Filter) { expect(t, f, "new", false, true) })
	})
}

func TestAFileThatBecameOldWhileNothingRan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		run(t, dir, func(f *Filter) { f.Add("old") })
		time.Sleep(Lifetime + time.Hour)
		run(t, dir, func(f *Filter) {
			expect(t, f, "old", true, true)
			f.Add("new")
		})
		run(t, dir, func(f *Filter) {
			expect(t, f, "old", true, true)
			expect(t, f, "new", true, true)
		})
	})
}

func TestATornTailIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		run(t, dir, func(f *Filter) { f.Add("first") })
		path := filepath.Join(dir, currentName)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for cut := range len(whole) {
			if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, dir, func(f *Filter) { f.Add("second") })
			run(t, dir, func(f *Filter) { expect(t, f, "second", true, true) })
		}
		if err := os.WriteFile(path, append(slices.Clone(whole), 1, 2, 3), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, dir, func(f *Filter) { f.Add("second") })
		run(t, dir, func(f *Filter) {
			expect(t, f, "first", true, true)
			expect(t, f, "second", true, true)
		})
	})
}

func TestWhatIsNoFileOfDevicesCountsAsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, make := range map[string]func(path string) error{
			"text":          func(path string) error { return os.WriteFile(path, []byte("something else, and more of it"), 0o600) },
			"another key":   func(path string) error { return os.WriteFile(path, header(keyOf([]byte("other")), time.Now()), 0o600) },
			"a folder":      func(path string) error { return os.Mkdir(path, 0o700) },
			"a broken link": func(path string) error { return os.Symlink("missing", path) },
		} {
			dir := t.TempDir()
			if err := make(filepath.Join(dir, currentName)); err != nil {
				t.Fatal(err)
			}
			if failures := run(t, dir, func(f *Filter) {
				expect(t, f, "device", false, true)
				f.Add("device")
			}); len(failures) != 1 {
				t.Errorf("%s: failures %v", name, failures)
			}
			if failures := run(t, dir, func(f *Filter) { expect(t, f, "device", true, true) }); failures != nil {
				t.Errorf("%s: %v", name, failures)
			}
		}
	})
}

func TestAFileOfTheFutureCountsAsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, currentName), header(keyOf(testKey), time.Now().Add(time.Hour)), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, dir, func(f *Filter) { f.Add("device") })
		run(t, dir, func(f *Filter) { expect(t, f, "device", true, true) })
	})
}

func TestAFailedWriteIsTriedAgainAndReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "later")
		failures := run(t, dir, func(f *Filter) {
			f.Add("device")
			time.Sleep(10 * flushInterval)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			time.Sleep(flushInterval)
		})
		if len(failures) != 1 {
			t.Errorf("got %v", failures)
		}
		run(t, dir, func(f *Filter) { expect(t, f, "device", true, true) })
	})
}

func TestAnswersAreNotSureWhileTheFilesAreRead(t *testing.T) {
	f := New(Options{Key: testKey, Dir: t.TempDir()})
	f.Add("device")
	expect(t, f, "device", true, false)
	expect(t, f, "other", false, false)
}

// This is the property that rules rely on: at most 1 in 2,000 strangers seems to be in a full generation, so at most 1 in 1,000 in
// either of two.
func TestFalsePositivesAreRareInAFullGeneration(t *testing.T) {
	f := New(Options{Key: testKey})
	random := rand.New(rand.NewPCG(1, 2)) // as digests are
	f.Add("first")
	for current := f.generations.Load().current; current.added.Load() < Capacity-1; {
		current.add(random.Uint64())
	}
	expect(t, f, "first", true, true)
	const strangers = 300_000
	known := 0
	for i := range strangers {
		if seen, _ := f.Seen("stranger-" + strconv.Itoa(i)); seen {
			known++
		}
	}
	t.Logf("%d of %d strangers seem to be known", known, strangers)
	if known > strangers/2000 {
		t.Errorf("%d of %d strangers seem to be known", known, strangers)
	}
	f.Add("last")
	f.Add("one more")
	expect(t, f, "first", true, false)
	expect(t, f, "one more", false, false)
	f.rotate(time.Now().Add(Lifetime))
	f.Add("one more")
	expect(t, f, "first", true, false)
	expect(t, f, "one more", true, false)
}

func TestTheFilterIsAtMost16MiB(t *testing.T) {
	if size := 2 * blocks * blockWords * 8; size > 16<<20 {
		t.Errorf("%d bytes", size)
	}
}

// With any ids in any order: what was added is seen.
func TestWhatWasAddedIsSeen(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	f := New(Options{Key: testKey})
	var wait sync.WaitGroup
	for range 4 {
		seed := random.Uint64()
		wait.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for range 10_000 {
				id := fmt.Sprintf("%x", random.Uint64()>>(random.IntN(60)))
				f.Add(id)
				if seen, _ := f.Seen(id); !seen {
					t.Errorf("%s is not seen", id)
				}
			}
		})
	}
	wait.Wait()
}

// The vector is the one of the paper (https://131002.net/siphash/siphash.pdf, appendix A).
func TestTheDigestIsSipHash(t *testing.T) {
	key := sipKey{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	text := make([]byte, 15)
	for i := range text {
		text[i] = byte(i)
	}
	if got := key.digest(string(text)); got != 0xa129ca6149be45e5 {
		t.Errorf("got %x", got)
	}
}

// FuzzFile feeds any bytes as a file.
func FuzzFile(f *testing.F) {
	key := keyOf(testKey)
	f.Add([]byte{})
	f.Add([]byte(magic))
	f.Add(header(key, time.Unix(1, 0)))
	f.Add(append(header(key, time.Unix(1, 0)), bytes.Repeat([]byte{7}, 21)...))
	f.Fuzz(func(t *testing.T, content []byte) {
		n := 0
		err := readDigests(bytes.NewReader(content), key, func(uint64) { n++ })
		if want := max(len(content)-headerSize, 0) / digestSize; err == nil && n != want || err != nil && n > 0 {
			t.Errorf("%d digests, want %d (%v)", n, want, err)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	for name, n := range map[string]int{"known": 1 << 12, "new": Capacity} {
		b.Run(name, func(b *testing.B) {
			ids := manyIDs(1 << 12)
			f := New(Options{Key: testKey})
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if n > len(ids) && i%len(ids) == 0 {
					f.key.k0++ // others
				}
				f.Add(ids[i%len(ids)])
				i++
			}
		})
	}
}

func BenchmarkSeen(b *testing.B) {
	ids := manyIDs(1 << 12)
	f := New(Options{Key: testKey})
	for _, id := range ids[:len(ids)/2] {
		f.Add(id)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		f.Seen(ids[i%len(ids)])
		i++
	}
}

func manyIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("7f0cc7a7-7ce2-4b44-9d8b-%012x", i)
	}
	return ids
}

func sizeOf(t *testing.T, dir, name string) int64 {
	t.Helper()
	about, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return about.Size()
}
