package keystore

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

// TestNumbersThatDoNotFitAreRefused changes the numbers in a store as a lost part would.
func TestNumbersThatDoNotFitAreRefused(t *testing.T) {
	lost := map[string]struct {
		change func(db *pebble.DB) error
		want   string
	}{
		"an older mark": {
			func(db *pebble.DB) error { return db.Set(markKey("vero"), encodeNumber(1), pebble.Sync) },
			"the number of vero is 1, expected 2",
		},
		"no mark": {
			func(db *pebble.DB) error { return db.Delete(markKey("iterable"), pebble.Sync) },
			"the number of iterable is missing, expected 3",
		},
		"a mark that is none": {
			func(db *pebble.DB) error { return db.Set(markKey("vero"), nil, pebble.Sync) },
			"number of 0 bytes cannot be read",
		},
		"a directory with another number": {
			func(db *pebble.DB) error {
				d := directory{number: 9, last: map[string]uint64{"vero": 2, "iterable": 3}}
				return db.Set(directoryKey, d.encode(), pebble.Sync)
			},
			"the Apply 9",
		},
		"no directory": {
			func(db *pebble.DB) error { return db.Delete(directoryKey, pebble.Sync) },
			"the directory has 0",
		},
		"a directory that is none": {
			func(db *pebble.DB) error { return db.Set(directoryKey, []byte{1}, pebble.Sync) },
			"directory of 1 bytes cannot be read",
		},
	}
	for name, c := range lost {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, err := Open("keys", Options{FS: fs})
			if err != nil {
				t.Fatal(err)
			}
			for _, destination := range []string{"vero", "vero", "iterable"} {
				if _, err := s.Apply(context.Background(), destination, nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(c.change(s.db), s.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := Open("keys", Options{FS: fs}); !errors.Is(err, engine.ErrDamaged) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Open returns %v", err)
			}
		})
	}
}
