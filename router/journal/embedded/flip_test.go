package embedded

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"aka/router/journal/engine"
)

var flips = flag.Int("embedded.flips", 60, "how many bits TestOneFlippedBit flips, one at a time")

// kindOf is what a file of the folder is for.
func kindOf(name string) string {
	folder, base := filepath.Split(name)
	switch ext := filepath.Ext(base); {
	case strings.HasPrefix(base, "marker"):
		return "marker"
	case folder == recordFolder+"/" && (ext == ".log" || ext == ".sst"):
		return folder + "*" + ext
	case ext == ".seg":
		return folder + "*" + ext
	}
	stem, _, _ := strings.Cut(base, "-0")
	return folder + stem
}

// TestOneFlippedBit flips bits in every kind of file of a folder, one at a time. Nothing is altered; or one frame or record is
// reported as damaged; or the folder is refused by the file's name and not changed. It cannot see that the last Applies are
// missing when no frame was appended after them: here one was.
func TestOneFlippedBit(t *testing.T) {
	closed := build(t)
	killed := closed
	killed.files = closed.killed
	random := rand.New(rand.NewPCG(*seed, 5))
	outcomes := map[string]int{}
	disk, _ := ownDisk(t)
	for i := range *flips {
		b := []built{closed, killed}[random.IntN(2)]
		name := b.someFile(i, random)
		content := []byte(b.files[name])
		bit := random.IntN(len(content) * 8)
		content[bit/8] ^= 1 << (bit % 8)
		flipped := built{files: maps.Clone(b.files), last: b.last, applies: b.applies}
		flipped.files[name] = string(content)
		dir := filepath.Join(disk, "journal")
		what, err := flipped.outcome(t, dir, name)
		must(t, os.RemoveAll(dir))
		if err != nil {
			t.Errorf("seed %d, flip %d, bit %d of byte %d in %s (%d B): %v", *seed, i, bit%8, bit/8, name, len(content), err)
		}
		outcomes[fmt.Sprintf("%-20s %s", kindOf(name), what)]++
	}
	for _, what := range slices.Sorted(maps.Keys(outcomes)) {
		t.Logf("%4d %s", outcomes[what], what)
	}
}

// someFile returns the name of a file with contents: of each kind in turn.
func (b built) someFile(turn int, random *rand.Rand) string {
	byKind := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(b.files)) {
		if len(b.files[name]) > 0 {
			byKind[kindOf(name)] = append(byKind[kindOf(name)], name)
		}
	}
	kinds := slices.Sorted(maps.Keys(byKind))
	names := byKind[kinds[turn%len(kinds)]]
	return names[random.IntN(len(names))]
}

// outcome opens a folder of these files, in which one was flipped, and returns what came of it. An error is an outcome that must
// not be.
func (b built) outcome(t *testing.T, dir, flipped string) (string, error) {
	b.put(t, dir)
	e, err := Open(t.Context(), Options{Dir: dir, Log: zap.NewNop(), segmentBytes: testSegment})
	if err != nil {
		return b.refusal(t, dir, flipped, err)
	}
	defer func() { _ = e.Close() }()
	frames, err := b.damagedFrames(e)
	if err != nil {
		return "", err
	}
	records, err := b.damagedRecords(e)
	if err != nil {
		return "", err
	}
	switch {
	case frames > 1 || frames > 0 && records > 0:
		return "", fmt.Errorf("%d frames and %d destinations are damaged", frames, records)
	case frames > 0:
		return "one frame damaged", nil
	case records > 0:
		return "a record damaged", nil
	case len(e.Findings()) > 0:
		return "nothing lost, a finding", nil
	}
	return "nothing lost", nil
}

// refusal checks that an error names the file, or the records where what is missing shows elsewhere, and that nothing was changed.
func (b built) refusal(t *testing.T, dir, flipped string, err error) (string, error) {
	what := "refused"
	if !strings.Contains(err.Error(), filepath.Join(dir, flipped)) {
		what = "refused, by the number"
		if filepath.Dir(flipped) != recordFolder || !strings.Contains(err.Error(), filepath.Join(dir, recordFolder)+" ends with change") {
			return "", fmt.Errorf("refused, but without the file: %w", err)
		}
	}
	if !errors.Is(err, ErrBroken) && !errors.Is(err, ErrOtherVersion) {
		return "", fmt.Errorf("refused, but not as broken: %w", err)
	}
	if change := b.differs(filesOf(t, dir)); change != "" {
		return "", fmt.Errorf("refused, but %s: %w", change, err)
	}
	return what, nil
}

func (b built) damagedFrames(e engine.Engine) (damaged int, err error) {
	first, last, err := e.Bounds(context.Background())
	if err != nil || first != 1 || last != b.last {
		return 0, fmt.Errorf("bounds are %d and %d, %w; want 1 and %d", first, last, err, b.last)
	}
	r := e.Reader(1)
	defer r.Close()
	for seq := uint64(1); seq <= last; seq++ {
		f, err := r.Next(context.Background())
		switch {
		case err != nil || f.Seq != seq:
			return 0, fmt.Errorf("frame %d comes in place of frame %d: %w", f.Seq, seq, err)
		case errors.Is(f.Err, engine.ErrDamaged) && f.Data == nil:
			damaged++
		case f.Err != nil || !bytes.Equal(f.Data, frameOf(seq)):
			return 0, fmt.Errorf("frame %d is altered: %d bytes, %w", seq, len(f.Data), f.Err)
		}
	}
	if f, err := r.Next(context.Background()); !errors.Is(err, engine.ErrEnd) {
		return 0, fmt.Errorf("frame %d comes behind the last: %w", f.Seq, err)
	}
	return damaged, nil
}

// damagedRecords returns how many destinations have something that cannot be read.
func (b built) damagedRecords(e engine.Engine) (damaged int, err error) {
	for _, name := range destinations {
		want := recordsOf(name, b.applies[name])
		for key, value := range want {
			got, err := e.Get(context.Background(), name, []byte(key))
			if !errors.Is(err, engine.ErrDamaged) && (err != nil || string(got) != value) {
				return 0, fmt.Errorf("record %s of %s is altered: %d bytes, %w", key, name, len(got), err)
			}
		}
		got := map[string]string{}
		err := e.Scan(context.Background(), name, nil, nil, func(key, value []byte) (bool, error) {
			got[string(key)] = string(value)
			return true, nil
		})
		if errors.Is(err, engine.ErrDamaged) {
			damaged++
		} else if err != nil || !maps.Equal(got, want) {
			return 0, fmt.Errorf("%s has %d records, %w; want %d", name, len(got), err, len(want))
		}
	}
	return damaged, nil
}
