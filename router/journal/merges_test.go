package journal

import (
	"fmt"
	"reflect"
	"testing"
)

func TestMergesAreReadBackAfterARestartAsTheyWereSavedLast(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	save := func(destination string, block uint64, data string) {
		t.Helper()
		if err := j.SaveMerges(t.Context(), destination, block, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	drop := func(destination string, block uint64) {
		t.Helper()
		if err := j.DropMerges(t.Context(), destination, block); err != nil {
			t.Fatal(err)
		}
	}
	save("vero", 9, "oldest")
	save("vero", 10, "begun")
	save("vero_2", 10, "another's")
	save("vero", 10, "grown")
	save("vero", 11, "newest")
	drop("vero", 9)
	drop("vero", 9)
	drop("nobody", 1)
	j.Close()

	j = open(t, options)
	expect := func(destination string, want ...string) {
		t.Helper()
		var got []string
		if err := j.Merges(t.Context(), destination, func(block uint64, data []byte) {
			got = append(got, fmt.Sprint(block, " ", string(data)))
		}); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s remembers %q, want %q", destination, got, want)
		}
	}
	expect("vero", "10 grown", "11 newest")
	expect("vero_2", "10 another's")
	expect("nobody")
}
