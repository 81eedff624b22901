package journal

import (
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/router/journal/engine/enginetest"
)

// saveFacts saves so many facts with a destination's progress.
func saveFacts(t *testing.T, j *Journal, destination string, n int) {
	t.Helper()
	var facts []Fact
	for i := range n {
		facts = append(facts, Fact{Key: binary.BigEndian.AppendUint32([]byte{1}, uint32(i)), Value: []byte("fact")})
	}
	must(t, j.SaveProgress(t.Context(), destination, load(t, j, destination).Encode(true), facts, nil))
}

// factsIn returns all facts of a destination, by their keys.
func factsIn(t *testing.T, j *Journal, destination string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, j.EachFact(t.Context(), destination, nil, func(key, value []byte) bool {
		found[string(key)] = string(value)
		return true
	}))
	return found
}

func TestFacts_AreReadBackAfterARestartAsTheyWereSavedLast(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	save := func(destination string, facts ...Fact) {
		t.Helper()
		must(t, j.SaveProgress(t.Context(), destination, load(t, j, destination).Encode(true), facts, nil))
	}
	save("vero", Fact{Key: []byte("a"), Value: []byte("begun")}, Fact{Key: []byte("b"), Value: []byte("gone soon")})
	save("vero_2", Fact{Key: []byte("a"), Value: []byte("another's")})
	save("vero", Fact{Key: []byte("a"), Value: []byte("grown")}, Fact{Key: []byte("b")}, Fact{Key: []byte("never there")})
	must(t, j.Unpark(t.Context(), "vero", nil, []Fact{{Key: []byte("c"), Value: []byte("of a parked call")}}))
	j.Close()

	j = open(t, options)
	for destination, want := range map[string]map[string]string{
		"vero": {"a": "grown", "c": "of a parked call"}, "vero_2": {"a": "another's"}, "nobody": {},
	} {
		if got := factsIn(t, j, destination); !maps.Equal(got, want) {
			t.Errorf("%s remembers %q, want %q", destination, got, want)
		}
	}
	if value, err := j.Fact(t.Context(), "vero", []byte("b")); value != nil || err != nil {
		t.Errorf("a removed fact is %q, %v", value, err)
	}
	if value, err := j.Fact(t.Context(), "vero", []byte("c")); string(value) != "of a parked call" || err != nil {
		t.Errorf("a fact is %q, %v", value, err)
	}
	var from []string
	must(t, j.EachFact(t.Context(), "vero", []byte("b"), func(key, _ []byte) bool { from = append(from, string(key)); return true }))
	if len(from) != 1 || from[0] != "c" {
		t.Errorf("from b on there are %q", from)
	}
}

// A crash finds progress and facts as they were saved together, whatever becomes of the write.
func TestFacts_AreOneCommitWithTheProgress(t *testing.T) {
	for fault, wantNew := range map[enginetest.Fault]bool{
		enginetest.None: true, enginetest.Lost: false, enginetest.Stored: true,
	} {
		store := enginetest.NewMemory()
		j, err := OpenOn(t.Context(), store, DefaultOptions, zap.NewNop(), prometheus.NewRegistry())
		must(t, err)
		p := load(t, j, "vero")
		appendEach(t, j, 1, 1)
		must(t, j.SaveProgress(t.Context(), "vero", p.Encode(false), []Fact{{Key: []byte("k"), Value: []byte("0")}}, nil))
		p.Begin(readAll(t, j, 1)[0])
		p.End(Position{Seq: 1})
		err = failing(store, fault, func() error {
			return j.SaveProgress(t.Context(), "vero", p.Encode(false), []Fact{{Key: []byte("k"), Value: []byte("1")}}, nil)
		})
		if (err == nil) != (fault == enginetest.None) {
			t.Errorf("fault %v: %v", fault, err)
		}
		again, err := OpenOn(t.Context(), store.Crash(), DefaultOptions, zap.NewNop(), prometheus.NewRegistry())
		must(t, err)
		value, err := again.Fact(t.Context(), "vero", []byte("k"))
		must(t, err)
		hasEnded := load(t, again, "vero").Ended() == 1
		if isNew := string(value) == "1"; isNew != hasEnded || isNew != wantNew {
			t.Errorf("fault %v: the fact is new: %t, the call has ended: %t, want %t", fault, isNew, hasEnded, wantNew)
		}
		again.Close()
		j.Close()
	}
}

// What is remembered is of no use without its key, and says after a salvage that some of it may be lost.
func TestFacts_TheirKeyIsInABackupAndInWhatWasSalvaged(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	must(t, os.WriteFile(filepath.Join(options.Dir, "merges.key"), []byte("k3y"), 0o600))
	must(t, os.WriteFile(filepath.Join(options.Dir, "instance"), []byte("aka-1"), 0o600))
	saveFacts(t, j, "vero", 3)
	copied, salvaged := filepath.Join(t.TempDir(), "copied"), filepath.Join(t.TempDir(), "salvaged")
	must(t, j.Backup(t.Context(), copied))
	j.Close()
	if _, err := Salvage(options.Dir, salvaged); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]int{copied: 3, salvaged: 4} {
		path := filepath.Join(dir, "merges.key")
		key, err := os.ReadFile(path)
		must(t, err)
		info, err := os.Stat(path)
		must(t, err)
		if string(key) != "k3y" || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: the key is %q, %s", dir, key, info.Mode())
		}
		if name, err := os.ReadFile(filepath.Join(dir, "instance")); string(name) != "aka-1" {
			t.Errorf("%s: the instance is %q (%v)", dir, name, err)
		}
		options.Dir = dir
		j := open(t, options)
		if facts := factsIn(t, j, "vero"); len(facts) != want {
			t.Errorf("%s: %d facts, want %d", dir, len(facts), want)
		}
	}
}
