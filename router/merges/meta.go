package merges

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"
)

// meta is what is kept of the memory as a whole. It is written with the facts that it counts.
type meta struct {
	account    digest
	generation uint32 // of the account: facts of those before are to be removed
	partial    bool
	stale      bool // there may be facts of accounts before
	count      uint64
	bytes      map[uint16]int64 // of the records, by the day on which they were touched last
	sources    []string         // a record has an index into them, from 1
}

const (
	metaVersion = 1
	// maxSources and maxSource bound how many sources are known by name, and how much of a name.
	maxSources = 1000
	maxSource  = 128
	maxDays    = 1 << 16
)

func (m *meta) encode() []byte {
	out := append([]byte{metaVersion}, m.account[:]...)
	out = binary.BigEndian.AppendUint32(out, m.generation)
	out = append(out, bit(m.partial)|bit(m.stale)<<1)
	out = binary.AppendUvarint(out, m.count)
	out = binary.AppendUvarint(out, uint64(len(m.bytes)))
	for _, day := range slices.Sorted(maps.Keys(m.bytes)) {
		out = binary.AppendUvarint(out, uint64(day))
		out = binary.AppendUvarint(out, uint64(m.bytes[day]))
	}
	out = binary.AppendUvarint(out, uint64(len(m.sources)))
	for _, name := range m.sources {
		out = append(binary.AppendUvarint(out, uint64(len(name))), name...)
	}
	return out
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// decode reads what encode wrote. Where it cannot, what it could read is of no use.
func (m *meta) decode(data []byte) error {
	in := reader{data: data}
	if in.byte() != metaVersion {
		return errRecord
	}
	copy(m.account[:], in.take(len(m.account)))
	if b := in.take(4); b != nil {
		m.generation = binary.BigEndian.Uint32(b)
	}
	is := in.byte()
	m.partial, m.stale, m.count = is&1 != 0, is&2 != 0, in.uvarint()
	m.bytes = map[uint16]int64{}
	days := in.uvarint()
	for i := uint64(0); i < days && !in.bad; i++ {
		day, bytes := in.uvarint(), in.uvarint()
		in.bad = in.bad || day >= maxDays || bytes > 1<<60
		m.bytes[uint16(day)] = int64(bytes)
	}
	names := in.uvarint()
	in.bad = in.bad || names > maxSources
	for i := uint64(0); i < names && !in.bad; i++ {
		m.sources = append(m.sources, string(in.take(int(min(in.uvarint(), maxSource+1)))))
	}
	if in.bad || len(in.data) > 0 {
		return errRecord
	}
	return nil
}

// add counts bytes of a day.
func (m *meta) add(day uint16, bytes int64) {
	if m.bytes[day] += bytes; m.bytes[day] <= 0 {
		delete(m.bytes, day)
	}
}

// total is the size of all records.
func (m *meta) total() (bytes int64) {
	for _, n := range m.bytes {
		bytes += n
	}
	return bytes
}

// oldest returns the first day that any record was touched on last; false where there is none.
func (m *meta) oldest() (day uint16, ok bool) {
	for d := range m.bytes {
		if !ok || d < day {
			day, ok = d, true
		}
	}
	return day, ok
}

// dayThatFits returns the first day of which some records can stay, if all newer ones are to take limit bytes at the most.
func (m *meta) dayThatFits(limit int64) uint16 {
	var newer int64
	days := slices.Sorted(maps.Keys(m.bytes))
	for _, day := range slices.Backward(days) {
		if newer += m.bytes[day]; newer > limit {
			return day
		}
	}
	return 0
}

// sourceIndex returns the index of a source; 0 where there are too many.
func (m *meta) sourceIndex(name string) uint16 {
	name = name[:min(len(name), maxSource)]
	if i := slices.Index(m.sources, name); i >= 0 {
		return uint16(i + 1)
	}
	if name == "" || len(m.sources) >= maxSources {
		return 0
	}
	m.sources = append(m.sources, name)
	return uint16(len(m.sources))
}

func (m *meta) sourceName(index uint16) string {
	if index == 0 || int(index) > len(m.sources) {
		return ""
	}
	return m.sources[index-1]
}

// dayOf numbers days from 1970 on.
func dayOf(t time.Time) uint16 {
	return uint16(min(max(t.Unix()/(24*60*60), 0), maxDays-1))
}

// secondsOf is a time in a record: in whole seconds.
func secondsOf(t time.Time) uint32 { return uint32(min(max(t.Unix(), 0), 1<<32-1)) }
