package keystore_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/embedded/keystore"
)

// salvaged returns what Salvage gives.
func salvaged(t *testing.T, fs vfs.FS) (state, []string) {
	t.Helper()
	got := state{"vero": {}, "iterable": {}}
	problems, err := keystore.Salvage(folder, keystore.Options{FS: fs}, func(destination string, key, value []byte) error {
		if got[destination] == nil {
			t.Fatalf("a record of %q", destination)
		}
		if _, ok := got[destination][string(key)]; ok {
			t.Errorf("record %s of %s is told twice", key, destination)
		}
		got[destination][string(key)] = string(value)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return got, problems
}

// differences counts the records of got that are not as they should be; made is how many of them never were.
func (h history) differences(got state) (n, made int) {
	want := h[h.last()]
	for name, records := range want {
		for key, value := range records {
			if got[name][key] != value {
				n++
			}
		}
	}
	for name, records := range got {
		for key, value := range records {
			if _, ok := want[name][key]; !ok {
				n++ // it was deleted
			}
			if !h.had(name, key, value) {
				made++
			}
		}
	}
	return n, made
}

func (h history) had(name, key, value string) bool {
	for _, s := range h {
		if had, ok := s[name][key]; ok && had == value {
			return true
		}
	}
	return false
}

func TestSalvageOfAWholeStore(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 6))
	whole, h := madeStore(t, random)
	fs := whole.disk(t, folder)
	got, problems := salvaged(t, fs)
	if n, made := h.differences(got); n > 0 || made > 0 || len(problems) > 0 {
		t.Errorf("%d differences, %d made up, problems: %q", n, made, problems)
	}
	if err := whole.equal(readFiles(t, fs, folder)); err != nil {
		t.Error(err)
	}
	stop := errors.New("stop")
	visits := 0
	_, err := keystore.Salvage(folder, keystore.Options{FS: fs}, func(string, []byte, []byte) error { visits++; return stop })
	if !errors.Is(err, stop) || visits != 1 {
		t.Errorf("Salvage returns %v after %d visits", err, visits)
	}
}

// TestSalvageOfADamagedStore flips bits. Where the tables and WALs are whole, all is there. A flip in a WAL costs one Apply, a
// flip in a table one block, or the table.
func TestSalvageOfADamagedStore(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 7))
	whole, h := madeStore(t, random)
	lost := make(map[string]int)
	for range *flips / 15 {
		names := whole.names()
		name := names[random.IntN(len(names))]
		data := bytes.Clone(whole[name])
		data[random.IntN(len(data))] ^= 1 << random.IntN(8)
		fs := whole.with(name, data).disk(t, folder)
		got, problems := salvaged(t, fs)
		n, made := h.differences(got)
		most := map[string]int{"sst": 80, "log": 5}[kindOf(name)]
		if made > 0 || n > most {
			t.Errorf("%s: %d differences, %d made up, problems: %q", name, n, made, problems)
		}
		if n > 0 && !strings.Contains(strings.Join(problems, "\n"), name) {
			t.Errorf("%s: %d differences, problems: %q", name, n, problems)
		}
		lost[kindOf(name)] += n
	}
	t.Logf("records lost: %v", lost)
}

// TestSalvageWithoutFiles removes each file.
func TestSalvageWithoutFiles(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 8))
	whole, h := madeStore(t, random)
	for _, name := range whole.names() {
		got, problems := salvaged(t, whole.without(name).disk(t, folder))
		n, made := h.differences(got)
		t.Logf("without %s: %d differences, problems: %q", name, n, problems)
		if made > 0 || n > 0 && kindOf(name) != "sst" && kindOf(name) != "log" {
			t.Errorf("without %s: %d differences, %d made up, problems: %q", name, n, made, problems)
		}
	}
}

// TestSalvageReadsOnBehindADamagedBlock damages one block in the middle of a table.
func TestSalvageReadsOnBehindADamagedBlock(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs, folder)
	fill(t, s, 500, 400)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	whole := readFiles(t, afterKill(fs), folder)
	name := lastOf(whole, "sst")
	whole[name][len(whole[name])/2] ^= 1
	got, problems := salvaged(t, whole.disk(t, folder))
	if n := len(got["vero"]); n < 480 || n == 500 || len(problems) != 1 {
		t.Errorf("%d records of 500, problems: %q", n, problems)
	}
}
