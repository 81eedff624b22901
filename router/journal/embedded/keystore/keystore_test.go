package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/embedded/keystore"
	"aka/router/journal/engine"
)

const folder = "journal/keys"

func open(t testing.TB, fs vfs.FS, dir string) *keystore.Store {
	t.Helper()
	return openWith(t, dir, keystore.Options{FS: fs})
}

func openWith(t testing.TB, dir string, o keystore.Options) *keystore.Store {
	t.Helper()
	if o.CloseWait == 0 {
		o.CloseWait = 5 * time.Minute // the machine may be busy
	}
	s, err := keystore.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func set(key, value string) engine.Change {
	return engine.Change{Key: []byte(key), Value: []byte(value)}
}

func remove(key string) engine.Change { return engine.Change{Key: []byte(key), Delete: true} }

func apply(t testing.TB, s *keystore.Store, destination string, changes ...engine.Change) uint64 {
	t.Helper()
	number, err := s.Apply(context.Background(), destination, changes)
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// scan returns the records of a destination as "key=value".
func scan(t testing.TB, s keystore.Records, destination string, from, to []byte) (found []string) {
	t.Helper()
	err := s.Scan(context.Background(), destination, from, to, func(key, value []byte) (bool, error) {
		found = append(found, fmt.Sprintf("%s=%s", key, value))
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s is %v, expected %v", what, got, want)
	}
}

func TestRecordsAreThereAfterAReopen(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs, folder)
	want(t, "first number", apply(t, s, "vero", set("b", "1"), set("a", "2"), set("b", "3")), 1)
	want(t, "second number", apply(t, s, "iterable", set("b", "4")), 2)
	want(t, "third number", apply(t, s, "vero", remove("a")), 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, fs, folder)
	want(t, "number after the reopen", s.Number(), 3)
	want(t, "records", scan(t, s, "vero", nil, nil), []string{"b=3"})
	want(t, "next number", apply(t, s, "vero", set("c", "5")), 4)
	value, err := s.Get(context.Background(), "iterable", []byte("b"))
	if err != nil || string(value) != "4" {
		t.Errorf("Get returns %q, %v", value, err)
	}
	if _, err := s.Get(context.Background(), "vero", []byte("a")); !errors.Is(err, engine.ErrNoRecord) {
		t.Errorf("Get of a deleted record returns %v", err)
	}
}

func TestDestinationsNeverCollide(t *testing.T) {
	s := open(t, vfs.NewMem(), folder)
	names := []string{"", "*", "a", "a\x00", "a\x00b", "ab", "\x01a", "\xff", "\xff\xff", string(make([]byte, 200))}
	for _, name := range names {
		apply(t, s, name, set("", "of "+name), set("b", "b of "+name), set("\xff\xff", "end of "+name))
	}
	for _, name := range names {
		want(t, fmt.Sprintf("records of %q", name), scan(t, s, name, nil, nil),
			[]string{"=of " + name, "b=b of " + name, "\xff\xff=end of " + name})
	}
	got, err := s.Destinations(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want(t, "destinations", fmt.Sprintf("%q", got), fmt.Sprintf("%q", slices.Sorted(slices.Values(names))))
}

func TestALargeApply(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs, folder)
	large := strings.Repeat("0123456789abcdef", 90_000)
	apply(t, s, "vero", set("before", "1"), set("large", large), set("after", "2"))
	apply(t, s, "vero", set("more", large), remove("before"))
	for range 2 {
		for _, key := range []string{"large", "more"} {
			value, err := s.Get(context.Background(), "vero", []byte(key))
			if err != nil || string(value) != large {
				t.Errorf("Get of %s returns %d B, %v", key, len(value), err)
			}
		}
		want(t, "number", s.Number(), 2)
		s = open(t, afterKill(fs), folder)
	}
}

func TestAnOpenStoreIsNotOpenedTwice(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.Default} {
		t.Run(name, func(t *testing.T) {
			dir := folder
			if name == "disk" {
				dir = t.TempDir()
			}
			s := open(t, fs, dir)
			apply(t, s, "vero", set("a", "1"))
			if _, err := keystore.Open(dir, keystore.Options{FS: fs}); err == nil || errors.Is(err, engine.ErrDamaged) {
				t.Errorf("the second Open returns %v", err)
			}
			apply(t, s, "vero", set("b", "2"))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			want(t, "records", scan(t, open(t, fs, dir), "vero", nil, nil), []string{"a=1", "b=2"})
		})
	}
}

func TestScanKeepsToItsBounds(t *testing.T) {
	s := open(t, vfs.NewMem(), folder)
	apply(t, s, "vero", set("a", "1"), set("b", "2"), set("b\x00", "3"), set("c", "4"))
	apply(t, s, "verp", set("a", "other"))
	for _, c := range []struct {
		from, to string
		want     []string
	}{
		{"", "b", []string{"a=1"}},
		{"b", "c", []string{"b=2", "b\x00=3"}},
		{"b\x00", "\xff", []string{"b\x00=3", "c=4"}},
		{"d", "z", nil},
		{"c", "a", nil},
	} {
		want(t, fmt.Sprintf("scan from %q to %q", c.from, c.to), scan(t, s, "vero", []byte(c.from), []byte(c.to)), c.want)
	}
	want(t, "scan without an end", scan(t, s, "vero", []byte("c"), nil), []string{"c=4"})
	stop := errors.New("stop")
	if err := s.Scan(context.Background(), "vero", nil, nil, func(_, _ []byte) (bool, error) { return true, stop }); err != stop {
		t.Errorf("Scan returns %v", err)
	}
	n := 0
	_ = s.Scan(context.Background(), "vero", nil, nil, func(_, _ []byte) (bool, error) { n++; return n < 2, nil })
	want(t, "visits", n, 2)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Scan(ctx, "vero", nil, nil, func(_, _ []byte) (bool, error) { return true, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Scan with a context that has ended returns %v", err)
	}
	apply(t, s, "verp", remove("a"))
	names, err := s.Destinations(context.Background())
	want(t, "destinations", fmt.Sprint(names, err), "[vero] <nil>")
}
