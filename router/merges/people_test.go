package merges

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"aka/destinations/adapter"
)

func TestARenameMovesThePerson(t *testing.T) {
	m := openMemory(t, &mapStore{}, Options{Account: "a"})
	at := time.Unix(1_700_000_000, 0)
	rename := func(from, to string) {
		m.Add(&adapter.Merge{Rule: adapter.MergeRenames, From: from, To: to}, at, "website")
		m.Identified(to, at.Add(time.Second), "website") // as given by an alias
	}
	expect := func(id string, ids, joins int, user bool) {
		t.Helper()
		if p := m.Person(id); p.IDs != ids || len(p.Joins) != joins || p.HasUser != user || p.IsUser != user || user && !p.UserSince.Equal(at) {
			t.Errorf("%s is %+v", id, p)
		}
	}
	m.Identified("a", at, "website")
	rename("a", "b")
	expect("a", 1, 0, false)
	expect("b", 1, 0, true)
	if !m.IsSame("a", "b") || !m.IsSame("b", "a") {
		t.Error("the two names are not the same person's")
	}
	rename("b", "a") // back
	expect("a", 1, 0, true)
	expect("b", 1, 0, false)
	m.Identified("c", at, "website")
	rename("c", "a") // where somebody lives
	expect("a", 2, 1, true)
	m.Identified("b", at, "website") // somebody new
	expect("b", 1, 0, true)
	if m.IsSame("d", "a") {
		t.Error("a stranger is the same person")
	}
}

func TestTheMergesOfAnIDAreFoundAndNamed(t *testing.T) {
	m := openMemory(t, &mapStore{}, Options{Account: "a"})
	add := func(rule adapter.MergeRule, from, to string) {
		m.Add(&adapter.Merge{Rule: rule, From: from, To: to}, time.Now(), "website")
	}
	for i := range 1000 {
		add(adapter.MergeRenames, fmt.Sprintf("other-%d", i), fmt.Sprintf("else-%d", i))
	}
	add(adapter.MergeRenames, "jen@email.com", "507f191e81")
	add(adapter.MergeUses, "", "jen@email.com")
	add(adapter.MergeRenames, "507f191e81", "jane")
	add(adapter.MergeGivesFrom, "d1", "joe")
	add(adapter.MergeGivesTo, "joe", "joe@email.com")
	for id, want := range map[string][]string{
		"jane": {"507f191e81 renames jane", "unknown renames 507f191e81"},
		"joe":  {"d1 gives joe", "joe@email.com gives joe"},
		"zoe":  nil,
	} {
		found, more := m.Find(id)
		m.NameThem(found, id, "507f191e81", "d1", "joe@email.com")
		var lines []string
		for _, f := range found {
			lines = append(lines, named(f.From)+" "+f.Rule+" "+named(f.To))
		}
		slices.Sort(lines)
		if !slices.Equal(lines, want) || more {
			t.Errorf("%s: got %q, want %q; more: %t", id, lines, want, more)
		}
	}
	for i := range 2 * maxFound {
		add(adapter.MergeJoins, "hub", fmt.Sprint("spoke", i))
	}
	if found, more := m.Find("hub"); len(found) != maxFound-1 || !more {
		t.Errorf("of many ids %d are found, more: %t", len(found), more)
	}
}

func named(n Name) string {
	if n.ID == nil {
		return "unknown"
	}
	return *n.ID
}

// A device that shares its links between two users is the first one's, as at the vendor.
func TestALinkOfADeviceToASecondUserMergesNoPeople(t *testing.T) {
	m := openMemory(t, &mapStore{}, Options{Account: "a"})
	link := func(device, user string) bool {
		return m.Add(&adapter.Merge{Rule: adapter.MergeLinks, From: device, To: user}, time.Now(), "website")
	}
	if !link("d1", "jane") || !link("d1", "joe") || link("d1", "joe") || link("d1", "jane") || !link("d2", "joe") {
		t.Error("a link is news once for each user")
	}
	if m.IsSame("d1", "joe") || m.IsSame("jane", "joe") || !m.IsSame("d1", "jane") || !m.IsSame("d2", "joe") {
		t.Error("the people are not the vendor's")
	}
	if p := m.Person("joe"); p.IDs != 2 {
		t.Errorf("joe has %d ids", p.IDs)
	}
}

func TestTheKeyIsMadeOnceAndSecret(t *testing.T) {
	dir := t.TempDir()
	first, err := LoadKey(dir, "")
	if err != nil || len(first) != 64 {
		t.Fatalf("a key of %d bytes, %v", len(first), err)
	}
	path := filepath.Join(dir, KeyFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its file is %v, %v", info, err)
	}
	if err := os.WriteFile(path+".tmp", []byte("of a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := LoadKey(dir, ""); err != nil || string(again) != string(first) {
		t.Errorf("the second start has another key, %v", err)
	}
	other, err := LoadKey(t.TempDir(), "")
	if err != nil || string(other) == string(first) {
		t.Error("two folders have one key")
	}
	own := filepath.Join(dir, "own")
	for text, want := range map[string]string{
		"  " + strings.Repeat("x", 32) + "\n": "", "too-short-s3cret\n": "16 bytes, expected 32 or more", strings.Repeat("x", maxKeyFile+1): "more than 4096 bytes",
	} {
		if err := os.WriteFile(own, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := LoadKey(dir, own)
		switch {
		case want == "" && (err != nil || len(key) != 32):
			t.Errorf("a key of %d bytes, %v", len(key), err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret")):
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := LoadKey(dir, filepath.Join(dir, "missing")); err == nil {
		t.Error("a key file that is missing is no error")
	}
}

// An id that a user was renamed to has that user, whatever it is named itself.
func TestAnIDThatAUserWasRenamedToSaysSo(t *testing.T) {
	store := &mapStore{}
	m := openMemory(t, store, Options{Account: "a"})
	at := time.Unix(1_700_000_000, 0)
	rename := func(from, to string) {
		m.Add(&adapter.Merge{Rule: adapter.MergeRenames, From: from, To: to}, at, "website")
	}
	m.Identified("device", at, "website") // it is named as a user, and may be none
	if m.Person("device").TookUser {
		t.Error("a named id took a user")
	}
	m.Identified("u1", at, "website")
	rename("u1", "device")
	store.save(m)
	m = openMemory(t, store, Options{Account: "a"})
	if p := m.Person("device"); !p.HasUser || !p.TookUser || p.IDs != 1 && p.IDs != 2 {
		t.Errorf("it is %+v", p)
	}
	rename("device", "u1") // and back
	if p := m.Person("device"); p.HasUser || p.TookUser {
		t.Errorf("it is %+v", p)
	}
}

// A vendor that absorbs one person into another gives it all that was the first one's: its devices, and that it has a user.
func TestAnAbsorbedPersonIsTheOthersWithAllItsIDs(t *testing.T) {
	for name, first := range map[string][2]string{"the name is the root": {"u1", "anon"}, "the device is the root": {"anon", "u1"}} {
		t.Run(name, func(t *testing.T) {
			store := &mapStore{}
			m := openMemory(t, store, Options{Account: "a"})
			at := time.Unix(1_700_000_000, 0)
			add := func(rule adapter.MergeRule, from, to string) {
				t.Helper()
				if !m.Add(&adapter.Merge{Rule: rule, From: from, To: to}, at, "website") {
					t.Fatalf("%s to %s is no news", from, to)
				}
			}
			expect := func(id string, ids int, user bool) {
				t.Helper()
				if p := m.Person(id); p.IDs != ids || p.HasUser != user || user && !p.UserSince.Equal(at) {
					t.Errorf("%s is %+v, want %d ids, a user: %t", id, p, ids, user)
				}
			}
			add(adapter.MergeJoins, first[0], first[1])
			m.Identified("u1", at, "website")
			add(adapter.MergeAbsorbs, "u1", "family@example.com")
			expect("family@example.com", 2, true)
			expect("anon", 2, true)
			expect("u1", 1, false)
			if !m.IsSame("anon", "family@example.com") || !m.IsSame("u1", "family@example.com") {
				t.Error("they are not one person")
			}
			store.save(m)
			m = openMemory(t, store, Options{Account: "a"})
			expect("family@example.com", 2, true)
			m.Identified("u2", at, "website")
			add(adapter.MergeAbsorbs, "family@example.com", "u2")
			expect("u2", 3, true)
			expect("anon", 3, true)
			expect("family@example.com", 1, false)
			m.Identified("u1", at, "website") // somebody new
			expect("u1", 1, true)
			expect("anon", 3, true)
			add(adapter.MergeAbsorbs, "u2", "anon") // a name of the same person
			expect("anon", 3, true)
			expect("u2", 1, false)
		})
	}
}
