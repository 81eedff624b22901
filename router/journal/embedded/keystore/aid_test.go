package keystore_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/embedded/keystore"
	"aka/router/journal/engine"
)

// Damage in a table that holds aids alone keeps no store from being opened, and is found by who reads it.
func TestDamageOfAidsAloneIsFoundWhenTheyAreRead(t *testing.T) {
	dir := t.TempDir()
	s := openWith(t, dir, keystore.Options{FS: vfs.Default}.Adjusted(func(p *pebble.Options) {
		for i := range p.TargetFileSizes {
			p.TargetFileSizes[i] = 256 << 10
		}
	}))
	random := rand.NewChaCha8([32]byte{1})
	var changes []engine.Change
	for range 20_000 {
		record := make([]byte, 100)
		_, _ = random.Read(record)
		changes = append(changes, set("r"+string(record[:16]), string(record)))
		if len(changes) == 2000 {
			apply(t, s, "vero", changes...)
			changes = changes[:0]
		}
	}
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) < 2 {
		t.Fatalf("tables %q, %v", tables, err)
	}
	passed := 0
	for _, path := range tables {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damaged := append([]byte(nil), whole...)
		damaged[len(damaged)/3] ^= 1
		write := func(data []byte) {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(damaged)
		if _, err := keystore.Verify(dir, keystore.Options{}); !errors.Is(err, engine.ErrDamaged) {
			t.Errorf("without aids %s is passed over: %v", path, err)
		}
		_, err = keystore.Verify(dir, keystore.Options{Aid: 'r'})
		switch {
		case err == nil:
			passed++
			read, err := keystore.OpenReadOnly(dir, keystore.Options{Aid: 'r'})
			if err != nil {
				t.Fatal(err)
			}
			err = read.Scan(t.Context(), "vero", nil, nil, func(_, _ []byte) (bool, error) { return true, nil })
			if !errors.Is(err, engine.ErrDamaged) {
				t.Errorf("damaged aids are read: %v", err)
			}
			_ = read.Close()
		case !strings.Contains(err.Error(), filepath.Base(path)):
			t.Errorf("%s is not named: %v", path, err)
		}
		write(whole)
	}
	if passed == 0 || passed == len(tables) {
		t.Errorf("%d of %d tables were passed over", passed, len(tables))
	}
}
