package main

import (
	"os"
	"path/filepath"
	"testing"

	"aka/router/mergecsv"
)

func TestEachPairOfTheFileIsTwoNewIDs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pairs.csv")
	if err := writePairs(path, 50); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ids, pairs := map[string]bool{}, mergecsv.NewReader(f)
	for {
		from, to, ok, err := pairs.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		ids[from], ids[to] = true, true
	}
	if len(ids) != 100 || pairs.Skipped > 0 {
		t.Errorf("%d ids, and %d rows that are bad", len(ids), pairs.Skipped)
	}
}
