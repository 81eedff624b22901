package seglog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"aka/router/journal/engine"
)

// model is what a log must be: the frames from first on, the mark, and readers by what they return next.
type model struct {
	t       *testing.T
	random  *rand.Rand
	disk    *disk
	options Options
	log     *Log
	readers []*Reader
	seqs    []uint64 // of each reader: what comes next

	frames    map[uint64][]byte
	low, last uint64 // what was trimmed is below low; it may be there
	mark      uint64
}

func TestALogIsLikeItsModel(t *testing.T) {
	for round := range uint64(6) {
		m := &model{t: t, random: rand.New(rand.NewPCG(*flipSeed, 200+round)), disk: newDisk(vfs.NewMem()), frames: map[uint64][]byte{}, low: 1}
		m.options = Options{FS: m.disk, SegmentBytes: []int64{1, 10_000, 50_000}[round%3]}
		m.log = openLog(t, m.options)
		for range 4 {
			m.readers, m.seqs = append(m.readers, m.log.Reader(1)), append(m.seqs, 1)
		}
		steps := []struct {
			share int
			step  func()
		}{{30, m.append}, {2, m.failedAppend}, {50, m.read}, {5, m.trim}, {2, m.reopen}, {5, m.seek}, {3, m.closeReader}, {3, m.compare}}
		for range 2000 {
			n := m.random.IntN(100)
			for _, s := range steps {
				if n -= s.share; n < 0 {
					s.step()
					break
				}
			}
		}
		m.compare()
	}
}

func (m *model) batch() (batch [][]byte) {
	for range 1 + m.random.IntN(4) {
		length := m.random.IntN(300)
		if m.random.IntN(20) == 0 {
			length = m.random.IntN(len(noise) / 2)
		}
		batch = append(batch, noise[m.random.IntN(len(noise)/2):][:length])
	}
	return batch
}

func (m *model) append() {
	batch := m.batch()
	m.mark += uint64(m.random.IntN(2))
	last, err := m.log.Append(batch, m.last, m.mark)
	if err != nil || last != m.last+uint64(len(batch)) {
		m.t.Fatalf("append: %d, %v", last, err)
	}
	for i, data := range batch {
		m.frames[m.last+1+uint64(i)] = bytes.Clone(data)
	}
	m.last = last
}

func (m *model) failedAppend() {
	kinds := []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSyncData, errorfs.OpFileSync, errorfs.OpRename, errorfs.OpCreate, errorfs.OpOpenDir}
	kind, n := kinds[m.random.IntN(len(kinds))], m.random.IntN(2)
	m.disk.failing(func(op errorfs.Op) error {
		if op.Kind == kind {
			if n--; n < 0 {
				return errDisk
			}
		}
		return nil
	})
	batch := m.batch()
	last, err := m.log.Append(batch, m.last, m.mark)
	m.disk.failing(nil)
	if err == nil {
		for i, data := range batch {
			m.frames[m.last+1+uint64(i)] = bytes.Clone(data)
		}
		m.last = last
		return
	}
	if !errors.Is(err, errDisk) {
		m.t.Fatal(err)
	}
	m.compare()
	m.append() // or a reopen might find what failed
}

func (m *model) read() {
	i := m.random.IntN(len(m.readers))
	f, err := m.readers[i].Next(m.t.Context())
	first, _ := m.log.Bounds()
	want := max(m.seqs[i], first)
	if want > m.last {
		if !errors.Is(err, engine.ErrEnd) {
			m.t.Fatalf("at the end: frame %d, %v", f.Seq, err)
		}
		return
	}
	if err != nil || f.Err != nil || f.Seq != want || !bytes.Equal(f.Data, m.frames[want]) {
		m.t.Fatalf("frame %d, not %d: %d bytes, %v, %v", f.Seq, want, len(f.Data), err, f.Err)
	}
	m.seqs[i] = want + 1
}

func (m *model) trim() {
	below := m.low + uint64(m.random.Int64N(int64(m.last-m.low+2)))
	if m.random.IntN(5) == 0 {
		below = m.last + 1
	}
	m.low = max(m.low, below)
	must(m.t, m.log.Trim(below, m.mark))
}

func (m *model) reopen() {
	must(m.t, m.log.Close())
	m.log = openLog(m.t, m.options)
	for i, r := range m.readers {
		r.Close()
		m.readers[i] = m.log.Reader(m.seqs[i])
	}
	if len(m.log.Findings()) > 0 {
		m.t.Fatalf("findings: %+v", m.log.Findings())
	}
	m.compare()
}

func (m *model) seek() {
	i := m.random.IntN(len(m.readers))
	m.seqs[i] = uint64(m.random.Int64N(int64(m.last + 2)))
	if m.random.IntN(2) == 0 {
		m.seqs[i] = min(m.last+1, max(m.low, m.last-min(m.last, uint64(m.random.IntN(10)))))
	}
	m.readers[i].Seek(m.seqs[i])
}

func (m *model) closeReader() { m.readers[m.random.IntN(len(m.readers))].Close() }

// compare reads everything.
func (m *model) compare() {
	first, last := m.log.Bounds()
	if last != m.last || first > m.low || m.log.Mark() != m.mark {
		m.t.Fatalf("bounds %d and %d, mark %d; want at most %d, %d, and %d", first, last, m.log.Mark(), m.low, m.last, m.mark)
	}
	if bytes, frames, segments := m.log.Size(); frames != last+1-first || (frames > 0) && (segments == 0 || bytes == 0) {
		m.t.Fatalf("size: %d, %d, %d", bytes, frames, segments)
	}
	r := m.log.Reader(0)
	defer r.Close()
	for seq := first; seq <= last; seq++ {
		f, err := r.Next(m.t.Context())
		if err != nil || f.Seq != seq || !bytes.Equal(f.Data, m.frames[seq]) {
			m.t.Fatalf("frame %d, not %d: %v, %v", f.Seq, seq, err, f.Err)
		}
	}
	if _, err := r.Next(m.t.Context()); !errors.Is(err, engine.ErrEnd) {
		m.t.Fatal(fmt.Errorf("at the end: %w", err))
	}
}
