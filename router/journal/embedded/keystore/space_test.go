package keystore_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/embedded/keystore"
	"aka/router/journal/engine"
)

var manyRecords = flag.Int("records", 15_000, "how many records of 2,000 B TestTheSpaceOfDeletedRecordsComesBack writes")

// removals tells of each file that is removed.
type removals struct {
	vfs.FS
	some chan struct{}
}

func (r removals) Remove(name string) error {
	err := r.FS.Remove(name)
	select {
	case r.some <- struct{}{}:
	default:
	}
	return err
}

// waitUntilBelow waits until the files of a folder are smaller than a bound.
func (r removals) waitUntilBelow(t *testing.T, dir string, bound int64) {
	t.Helper()
	for folderSize(t, dir) >= bound {
		select {
		case <-r.some:
		case <-time.After(5 * time.Minute):
			t.Fatalf("the folder has %d bytes and nothing is removed", folderSize(t, dir))
		}
	}
}

func folderSize(t *testing.T, dir string) (size int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // or it was removed meanwhile
			size += info.Size()
		}
	}
	return size
}

func TestTheSpaceOfDeletedRecordsComesBack(t *testing.T) {
	records := *manyRecords
	dir := t.TempDir()
	fs := removals{vfs.Default, make(chan struct{}, 1)}
	s := openWith(t, dir, keystore.Options{FS: fs}.TidyingAfter(10*time.Millisecond))
	fill(t, s, records, 2000)
	t.Logf("filled: %d MiB", folderSize(t, dir)>>20)
	for i := 0; i < records; i += 100 {
		var changes []engine.Change
		for j := range 100 {
			changes = append(changes, remove(fmt.Sprintf("record-%08d", i+j)))
		}
		apply(t, s, "vero", changes...)
	}
	fs.waitUntilBelow(t, dir, 8<<20)
	t.Logf("deleted: %d KiB, Size says %d KiB", folderSize(t, dir)>>10, s.Size()>>10)
	want(t, "records", scan(t, s, "vero", nil, nil), []string(nil))
}

func TestOverwritingTheSameKeysTakesNoSpace(t *testing.T) {
	dir := t.TempDir()
	s := open(t, vfs.Default, dir)
	random := rand.NewChaCha8([32]byte{1})
	value := make([]byte, 2000)
	_, _ = random.Read(value)
	most := int64(0)
	for i := range 200 {
		var changes []engine.Change
		for j := range 100 {
			changes = append(changes, set(fmt.Sprintf("progress-%d", j), string(value)))
		}
		apply(t, s, fmt.Sprintf("destination-%d", i%5), changes...)
		most = max(most, folderSize(t, dir))
	}
	t.Logf("%d MiB written, %d MiB at most, %d KiB at the end", 200*100*2000>>20, most>>20, folderSize(t, dir)>>10)
	if most > 16<<20 {
		t.Errorf("the folder had %d bytes", most)
	}
}
