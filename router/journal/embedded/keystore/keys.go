package keystore

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"aka/router/journal/engine"
)

// The first byte of a key in Pebble says what it is.
const (
	kindDirectory = 1 // the directory; nothing follows
	kindMark      = 2 // the number of a destination's last Apply; its name follows
	kindRecord    = 3 // a record; the length of the destination's name, the name and the record's key follow
)

var directoryKey = []byte{kindDirectory}

func markKey(destination string) []byte {
	return append([]byte{kindMark}, destination...)
}

// recordPrefix is what the keys of a destination's records begin with. The name's length comes first, so that no prefix begins
// another.
func recordPrefix(destination string) []byte {
	key := binary.AppendUvarint([]byte{kindRecord}, uint64(len(destination)))
	return append(key, destination...)
}

func recordKey(destination string, key []byte) []byte {
	return append(recordPrefix(destination), key...)
}

// splitRecordKey is the reverse of recordKey. It reports whether the key is one of a record.
func splitRecordKey(stored []byte) (destination string, key []byte, ok bool) {
	if len(stored) == 0 || stored[0] != kindRecord {
		return "", nil, false
	}
	length, n := binary.Uvarint(stored[1:])
	rest := stored[1:]
	if n <= 0 || length > uint64(len(rest)-n) {
		return "", nil, false
	}
	rest = rest[n:]
	return string(rest[:length]), rest[length:], true
}

// after returns the first key behind all that begin with prefix. The prefixes here begin with a small byte, so there is one.
func after(prefix []byte) []byte {
	end := slices.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

// directory is the record that each Apply writes with its changes: the number of that Apply, and the number of each
// destination's last one. A part of the store that is lost shows in it, because every destination has its number by itself, too.
type directory struct {
	number uint64
	last   map[string]uint64
}

const directoryVersion = 1

func (d *directory) note(destination string, number uint64) {
	d.number = number
	if d.last == nil {
		d.last = make(map[string]uint64)
	}
	d.last[destination] = number
}

func (d *directory) names() []string {
	return slices.Sorted(maps.Keys(d.last))
}

func (d *directory) encode() []byte {
	b := binary.AppendUvarint([]byte{directoryVersion}, d.number)
	b = binary.AppendUvarint(b, uint64(len(d.last)))
	for _, name := range d.names() {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
		b = binary.AppendUvarint(b, d.last[name])
	}
	return b
}

func decodeDirectory(b []byte) (directory, error) {
	r := fields{rest: b}
	if version := r.byte(); !r.bad && version != directoryVersion {
		return directory{}, fmt.Errorf("%w: directory of version %d, expected %d", engine.ErrDamaged, version, directoryVersion)
	}
	d := directory{number: r.number(), last: make(map[string]uint64)}
	for n := r.number(); n > 0 && !r.bad; n-- {
		name := r.text()
		d.last[name] = r.number()
	}
	if r.bad || len(r.rest) > 0 {
		return directory{}, fmt.Errorf("%w: directory of %d bytes cannot be read", engine.ErrDamaged, len(b))
	}
	return d, nil
}

// check returns an error when the numbers of the directory do not fit together: the last Apply was one to some destination.
func (d *directory) check() error {
	var last uint64
	for _, n := range d.last {
		last = max(last, n)
	}
	if last != d.number {
		return fmt.Errorf("%w: the directory has number %d, and its destinations have %d at most", engine.ErrDamaged, d.number, last)
	}
	return nil
}

func encodeNumber(n uint64) []byte { return binary.AppendUvarint(nil, n) }

func decodeNumber(b []byte) (uint64, error) {
	r := fields{rest: b}
	n := r.number()
	if r.bad || len(r.rest) > 0 {
		return 0, fmt.Errorf("%w: number of %d bytes cannot be read", engine.ErrDamaged, len(b))
	}
	return n, nil
}

// fields reads what was encoded above. After something that does not fit, bad is set and all else is zero.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) take(n uint64) []byte {
	if f.bad || n > uint64(len(f.rest)) {
		f.bad = true
		return nil
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) byte() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) number() uint64 {
	v, n := binary.Uvarint(f.rest)
	if n <= 0 {
		f.bad = true
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

func (f *fields) text() string { return string(f.take(f.number())) }
