package keystore

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/prometheus/client_golang/prometheus"

	"aka/router/journal/engine"
)

// records of lengths that leave all kinds of rests in a block, and of more than one block.
func someRecords() (all [][]byte) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, length := range []int{0, 1, 100, blockBytes - 3*walHeader - 120, 5, 40, 2*blockBytes + 17, 300, 0, 20} {
		b := make([]byte, length)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		all = append(all, b)
	}
	return all
}

func manifestFile(t testing.TB, records [][]byte) []byte {
	var b bytes.Buffer
	w := record.NewWriter(&b)
	for _, r := range records {
		if _, err := w.WriteRecord(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// synced is a file in memory.
type synced struct{ bytes.Buffer }

func (*synced) Sync() error  { return nil }
func (*synced) Close() error { return nil }

// walFile returns a WAL in which each record was synced before the next was written. It ends as a kill leaves it, or closed.
func walFile(t testing.TB, records [][]byte, closed bool) []byte {
	var b synced
	w := record.NewLogWriter(&b, 7, record.LogWriterConfig{
		WALFsyncLatency:     prometheus.NewHistogram(prometheus.HistogramOpts{}),
		WALMinSyncInterval:  func() time.Duration { return 0 },
		WriteWALSyncOffsets: func() bool { return true },
	})
	for _, r := range records {
		var wait sync.WaitGroup
		var err error
		wait.Add(1)
		if _, err := w.SyncRecord(r, &wait, &err); err != nil {
			t.Fatal(err)
		}
		wait.Wait()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !closed {
		b.Truncate(b.Len() - oldWALHeader)
	}
	return b.Bytes()
}

func walked(f chunkFile) (records [][]byte, closed bool, err error) {
	closed, err = f.walk(func(r []byte) error {
		records = append(records, slices.Clone(r))
		return nil
	})
	return records, closed, err
}

func equalRecords(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// cases are whole files of each kind.
func cases(t testing.TB, records [][]byte) map[string]chunkFile {
	return map[string]chunkFile{
		"manifest":   {data: manifestFile(t, records)},
		"WAL":        {data: walFile(t, records, false), wal: true, log: 7},
		"closed WAL": {data: walFile(t, records, true), wal: true, log: 7},
	}
}

func TestWholeFilesAreWalked(t *testing.T) {
	want := someRecords()
	for name, f := range cases(t, want) {
		got, closed, err := walked(f)
		if err != nil || !equalRecords(got, want) || closed != (name == "closed WAL") {
			t.Errorf("%s: %d records of %d, closed: %t, %v", name, len(got), len(want), closed, err)
		}
	}
}

// TestACutEndIsTorn cuts files at many lengths: what is before is read, and there is no damage.
func TestACutEndIsTorn(t *testing.T) {
	all := someRecords()
	for name, f := range cases(t, all) {
		whole := f.data
		for n := 0; n < len(whole); n++ {
			if n > 400 && n%blockBytes > 100 && n%331 != 0 && len(whole)-n > 100 {
				continue
			}
			f.data = whole[:n]
			got, _, err := walked(f)
			if err != nil || len(got) > len(all) || !equalRecords(got, all[:len(got)]) {
				t.Fatalf("%s of %d of %d B: %d records, %v", name, n, len(whole), len(got), err)
			}
		}
	}
}

// TestAFlippedBitIsDamage flips bits all over the files. Only in the mark at the end of a WAL is a flip without a meaning.
func TestAFlippedBitIsDamage(t *testing.T) {
	all := someRecords()
	random := rand.New(rand.NewPCG(2, 2))
	for name, f := range cases(t, all) {
		whole := f.data
		for range 400 {
			at := random.IntN(len(whole))
			if random.IntN(2) == 0 {
				at = len(whole) - 1 - random.IntN(80) // the last chunks are the hard ones
			}
			f.data = slices.Clone(whole)
			f.data[at] ^= 1 << random.IntN(8)
			got, closed, err := walked(f)
			mark := name == "closed WAL" && at >= len(whole)-oldWALHeader
			switch {
			case err != nil && !errors.Is(err, engine.ErrDamaged):
				t.Errorf("%s, byte %d of %d: %v", name, at, len(whole), err)
			case err == nil && (!mark || closed || !equalRecords(got, all)):
				t.Errorf("%s, byte %d of %d: %d records, no error", name, at, len(whole), len(got))
			}
		}
	}
}

// TestALostPageAtTheEndIsTorn leaves out pages of the last record, as a power cut can before it was synced.
func TestALostPageAtTheEndIsTorn(t *testing.T) {
	all := append(someRecords(), bytes.Repeat([]byte("last"), 5000))
	for name, f := range cases(t, all) {
		if name == "closed WAL" {
			continue
		}
		whole := f.data
		begin := len(manifestFile(t, all[:len(all)-1]))
		if f.wal {
			begin = len(walFile(t, all[:len(all)-1], false))
		}
		for page := begin / pageBytes * pageBytes; page < len(whole); page += pageBytes {
			f.data = slices.Clone(whole)
			clear(f.data[max(page, begin):min(page+pageBytes, len(whole))])
			got, _, err := walked(f)
			if err != nil || !equalRecords(got, all[:len(all)-1]) {
				t.Errorf("%s without the page at %d: %d records, %v", name, page, len(got), err)
			}
		}
	}
}

// TestALostPageThatWasSyncedIsDamage leaves out pages before the last records. Pebble counts too little as synced after a record
// of more than a block, so the records are short.
func TestALostPageThatWasSyncedIsDamage(t *testing.T) {
	var all [][]byte
	for range 200 {
		all = append(all, bytes.Repeat([]byte("record"), 50))
	}
	for name, f := range cases(t, all) {
		whole := f.data
		for page := 0; page < len(whole)-4*pageBytes; page += pageBytes {
			f.data = slices.Clone(whole)
			clear(f.data[page : page+pageBytes])
			if got, _, err := walked(f); !errors.Is(err, engine.ErrDamaged) {
				t.Errorf("%s without the page at %d: %d records, %v", name, page, len(got), err)
			}
		}
	}
}

func FuzzChunks(f *testing.F) {
	for _, c := range cases(f, [][]byte{[]byte("a record"), nil, []byte("another")}) {
		f.Add(c.data, c.wal)
	}
	f.Fuzz(func(t *testing.T, data []byte, wal bool) {
		file := chunkFile{data: data, wal: wal, log: 7}
		if _, err := file.walk(func(batch []byte) error {
			_, _, err := numberOf(batch)
			return err
		}); err != nil && !errors.Is(err, engine.ErrDamaged) {
			t.Error(err)
		}
	})
}

func FuzzDirectory(f *testing.F) {
	d := directory{number: 300, last: map[string]uint64{"vero": 300, "*": 7, "": 1}}
	f.Add(d.encode())
	f.Add([]byte{directoryVersion, 1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decodeDirectory(b)
		if err != nil {
			return
		}
		again, err := decodeDirectory(d.encode())
		if err != nil || again.number != d.number || !maps.Equal(again.last, d.last) {
			t.Errorf("%v is read as %v, %v", d, again, err)
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add("vero", []byte("key"))
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, destination string, key []byte) {
		stored := recordKey(destination, key)
		d, k, ok := splitRecordKey(stored)
		if !ok || d != destination || !bytes.Equal(k, key) {
			t.Errorf("%q, %q is read as %q, %q, %t", destination, key, d, k, ok)
		}
		if end := after(recordPrefix(destination)); bytes.Compare(stored, end) >= 0 {
			t.Errorf("%q is not before %q", stored, end)
		}
		_, _, _ = splitRecordKey(key) // and any bytes do not panic
	})
}

// The line is on disks, so it must not change.
func TestTheLineOfTheFormatFile(t *testing.T) {
	if got, want := formatText(1), "aka keystore 1 8df54cbb\n"; got != want {
		t.Errorf("line is %q, expected %q", got, want)
	}
}
