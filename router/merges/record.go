package merges

import (
	"encoding/binary"
	"errors"
	"slices"
)

// flags say what a record has.
type flags uint16

const (
	givenFrom  flags = 1 << iota // given away by MergeGivesFrom or MergeLinks
	givenTo                      // given away by MergeGivesTo
	isName                       // a name of another id, by MergeNames
	isUsed                       // somebody lives under the id, and it was not renamed
	isRenamed                    // its user has another id now
	hasNewUser                   // it was renamed, and somebody lives under it since
	isUser                       // named as a userId by an identify, or given by an alias
	isDevice                     // an anonymousId beside a userId
	isWhole                      // nothing was forgotten before it was made
	isPair                       // of two ids: a link that the vendor took for an event
	hasParent                    // another id is the root of the person
	hasNext                      // it has a place in a ring
	personUser                   // one of the person's ids is a user
	isPerson                     // of several ids, of which this one is the root
	hasFirst                     // it is known when it came first
	tookUser                     // the person's user came from an id that was renamed to this one
	knownFlags = 1<<iota - 1
)

// record is what is kept of one id.
type record struct {
	flags  flags
	day    uint16 // when it was touched last
	source uint16 // by which source it came first: see meta.sources
	first  uint32 // when, in seconds
	// parent leads to the root of the person: see people.go. next is another id of the person: all of them form a ring. An id that
	// was renamed stays in the ring.
	parent, next, renamedTo digest

	// The rest is of the person, kept at its root.
	size       uint32 // ids, where they are several
	since      uint32 // when the oldest user was named first
	userSource uint16 // by which source
	joins      []uint32
}

const (
	recordVersion = 1
	// maxJoins bounds how many times of joins are kept of a person, the newest.
	maxJoins = 1000
	// maxRecord bounds a record on disk: what is longer is none of ours.
	maxRecord = 64 + 3*len(digest{}) + 5*maxJoins
)

var errRecord = errors.New("no record of this version")

func (r *record) has(f flags) bool { return r.flags&f != 0 }
func (r *record) set(f flags)      { r.flags |= f }
func (r *record) clear(f flags)    { r.flags &^= f }

func (r *record) ids() int { return int(max(r.size, 1)) }

// append encodes the record behind out.
func (r *record) append(out []byte) []byte {
	out = append(out, recordVersion)
	out = binary.LittleEndian.AppendUint16(out, uint16(r.flags))
	out = binary.LittleEndian.AppendUint16(out, r.day)
	if r.has(hasFirst) {
		out = binary.LittleEndian.AppendUint32(out, r.first)
		out = binary.AppendUvarint(out, uint64(r.source))
	}
	for _, link := range r.links() {
		if r.has(link.flag) {
			out = append(out, link.to[:]...)
		}
	}
	if r.has(personUser) {
		out = binary.LittleEndian.AppendUint32(out, r.since)
		out = binary.AppendUvarint(out, uint64(r.userSource))
	}
	if r.has(isPerson) {
		out = binary.AppendUvarint(out, uint64(r.size))
		out = binary.AppendUvarint(out, uint64(len(r.joins)))
		var after uint32
		for i, at := range r.joins { // newest first
			if i == 0 {
				after = at
				out = binary.LittleEndian.AppendUint32(out, at)
				continue
			}
			out = binary.AppendUvarint(out, uint64(after-at))
			after = at
		}
	}
	return out
}

type link struct {
	flag flags
	to   *digest
}

func (r *record) links() [3]link {
	return [...]link{{hasParent, &r.parent}, {hasNext, &r.next}, {isRenamed, &r.renamedTo}}
}

// decode reads what append wrote.
func (r *record) decode(data []byte) error {
	in := reader{data: data}
	if len(data) > maxRecord || in.byte() != recordVersion {
		return errRecord
	}
	*r = record{flags: flags(in.uint16()), day: in.uint16()}
	if r.has(hasFirst) {
		r.first, r.source = in.uint32(), in.source()
	}
	for _, link := range r.links() {
		if r.has(link.flag) {
			copy(link.to[:], in.take(len(link.to)))
		}
	}
	if r.has(personUser) {
		r.since, r.userSource = in.uint32(), in.source()
	}
	if r.has(isPerson) {
		in.person(r)
	}
	if in.bad || len(in.data) > 0 || r.flags&^knownFlags != 0 {
		*r = record{}
		return errRecord
	}
	return nil
}

func (in *reader) person(r *record) {
	size, joins := in.uvarint(), in.uvarint()
	if size < 1 || size > 1<<31 || joins > maxJoins {
		in.bad = true
		return
	}
	r.size = uint32(size)
	for i := range int(joins) {
		at := uint64(0)
		if i == 0 {
			r.joins = make([]uint32, 0, joins)
			at = uint64(in.uint32())
		} else if back, last := in.uvarint(), uint64(r.joins[i-1]); back <= last {
			at = last - back
		} else {
			in.bad = true
		}
		if in.bad {
			return
		}
		r.joins = append(r.joins, uint32(at))
	}
}

// mergeJoins returns the newest of two lists of times, newest first, with those in more.
func mergeJoins(a, b []uint32, more ...uint32) []uint32 {
	all := slices.Concat(a, b, more)
	slices.SortFunc(all, func(x, y uint32) int {
		if x > y {
			return -1
		}
		if x < y {
			return 1
		}
		return 0
	})
	return slices.Clip(all[:min(len(all), maxJoins)])
}

// reader reads what was encoded. After something that does not fit, bad is set.
type reader struct {
	data []byte
	bad  bool
}

func (in *reader) take(n int) []byte {
	if in.bad || n < 0 || n > len(in.data) {
		in.bad = true
		return nil
	}
	taken := in.data[:n]
	in.data = in.data[n:]
	return taken
}

func (in *reader) byte() byte {
	if b := in.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (in *reader) uint16() uint16 {
	if b := in.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (in *reader) uint32() uint32 {
	if b := in.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (in *reader) uvarint() uint64 {
	n, length := binary.Uvarint(in.data)
	if length <= 0 || in.bad {
		in.bad = true
		return 0
	}
	in.data = in.data[length:]
	return n
}

func (in *reader) source() uint16 {
	n := in.uvarint()
	if n > maxSources {
		in.bad = true
		return 0
	}
	return uint16(n)
}
