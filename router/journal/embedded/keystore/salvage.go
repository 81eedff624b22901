package keystore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// Salvage calls visit for every record that can be read in a folder, in no order, also where Open refuses the folder. It changes
// nothing. The problems say, with the paths of files, what could not be read. Next to them, a record may be older than its last
// version, and a deleted one may be there again: what is newer was in the damaged part. An error is one of visit, or says that
// the folder cannot be read at all. Keys and values are valid during the visit only.
func Salvage(dir string, o Options, visit func(destination string, key, value []byte) error) (problems []string, err error) {
	o = o.withDefaults()
	dir = o.FS.PathJoin(dir)
	names, err := o.FS.List(dir)
	if err != nil {
		return nil, fmt.Errorf("salvage records in %s: %w", dir, err)
	}
	s := salvage{inspector: inspector{dir: dir, o: o, names: names, lenient: true}, versions: make(map[string]version)}
	switch there, err := readFormat(o.FS, dir); {
	case err != nil:
		s.problem(err)
	case !there:
		s.problem(fmt.Errorf("%s: missing", s.path(formatFile)))
	}
	s.findSources()
	s.find()
	if err := s.report(visit); err != nil {
		return s.problems, fmt.Errorf("salvage records in %s: %w", dir, err)
	}
	return s.problems, nil
}

// salvage reads tables and WALs without the database. It goes through them twice: to find the last version of each key, and to
// report it.
type salvage struct {
	inspector
	tables   []source
	wals     []source
	versions map[string]version // by key of Pebble
	problems []string
}

// source is a table or a WAL.
type source struct {
	path   string
	number uint64
}

// version is one that a key has in a source.
type version struct {
	source  source
	seq     uint64
	deleted bool
}

// newer reports whether v replaces w. The sequence number of the last version of a key may have become 0, in the lowest level.
// Then older ones are in no table that is used, but may be in one that was not removed yet.
func (v version) newer(w version) bool {
	if v.seq != w.seq {
		return v.seq > w.seq
	}
	return v.source.number > w.source.number // the later table was made of the earlier
}

func (s *salvage) problem(err error) { s.problems = append(s.problems, err.Error()) }

// findSources finds what to read: what the database uses, if its manifest is whole, and else every table and WAL.
func (s *salvage) findSources() {
	err := s.manifest()
	if err == nil {
		err = s.liveSources()
	}
	if err == nil {
		return
	}
	s.problem(fmt.Errorf("tables and WALs are read without the manifest: %w", err))
	s.tables, s.wals = nil, nil
	for _, name := range s.names {
		switch {
		case isTable(name):
			s.tables = append(s.tables, s.source(name))
		case isWAL(name):
			s.wals = append(s.wals, s.source(name))
		}
	}
}

func (s *salvage) source(name string) source {
	src := source{path: s.path(name)}
	_, _ = fmt.Sscanf(name, "%d.", &src.number)
	return src
}

// liveSources finds the tables and WALs that the database uses.
func (s *salvage) liveSources() error {
	db, err := s.open(&readOnlyFS{FS: s.o.FS, hidden: func(name string) bool { return isWAL(name) || isOptions(name) }})
	if err != nil {
		return err
	}
	levels, err := db.SSTables()
	for _, tables := range levels {
		for _, t := range tables {
			s.tables = append(s.tables, s.source(fmt.Sprintf("%s.sst", t.BackingSSTNum)))
		}
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	s.liveWALs()
	return nil
}

// liveWALs finds the WALs from the first one on that Pebble reads. It may be unable to read them.
func (s *salvage) liveWALs() {
	fs := &readOnlyFS{FS: s.o.FS, hidden: isOptions}
	if db, err := s.open(fs); err == nil {
		_ = db.Close()
	}
	read := fs.walsRead()
	if len(read) == 0 {
		return
	}
	first := s.source(s.o.FS.PathBase(read[0]))
	for _, name := range s.names {
		if src := s.source(name); isWAL(name) && src.number >= first.number {
			s.wals = append(s.wals, src)
		}
	}
}

// find reads all sources for the last version of each key.
func (s *salvage) find() {
	note := func(key []byte, v version, _ func() ([]byte, error)) error {
		if last, ok := s.versions[string(key)]; !ok || v.newer(last) {
			s.versions[string(key)] = v
		}
		return nil
	}
	_ = s.each(note, s.problem)
}

// report reads all sources again, and calls visit with the versions that were found.
func (s *salvage) report(visit func(destination string, key, value []byte) error) error {
	maps.DeleteFunc(s.versions, func(_ string, v version) bool { return v.deleted })
	return s.each(func(key []byte, v version, value func() ([]byte, error)) error {
		if s.versions[string(key)] != v {
			return nil
		}
		destination, rest, ok := splitRecordKey(key)
		if !ok {
			return nil
		}
		b, err := value()
		if err != nil {
			return nil // it was a problem when it was found
		}
		delete(s.versions, string(key)) // a table that is read from both ends may have it twice
		return visit(destination, rest, b)
	}, func(error) {})
}

// use gets a version that a key has. The value is to be asked for at once.
type use func(key []byte, v version, value func() ([]byte, error)) error

// each reads all sources. An error of use ends it, what cannot be read does not.
func (s *salvage) each(use use, problem func(error)) error {
	for _, src := range s.tables {
		if err := s.eachInTable(src, use, problem); err != nil {
			return err
		}
	}
	for _, src := range s.wals {
		if err := s.eachInWAL(src, use, problem); err != nil {
			return err
		}
	}
	return nil
}

// eachInTable reads a table from its beginning, and from its end if it meets damage.
func (s *salvage) eachInTable(src source, use use, problem func(error)) error {
	f, err := s.o.FS.Open(src.path)
	if err != nil {
		problem(fmt.Errorf("%s: %w", src.path, err))
		return nil
	}
	reader, err := s.openTable(f)
	if err != nil {
		problem(fmt.Errorf("%s: no record can be read: %w", src.path, err))
		return nil
	}
	defer func() { _ = reader.Close() }()
	damage, err := walkTable(reader, src, forward, use)
	if damage == nil || err != nil {
		return err
	}
	problem(fmt.Errorf("%s: some records cannot be read: %w", src.path, damage))
	_, err = walkTable(reader, src, backward, use)
	return err
}

// direction is how a table is read.
type direction int

const (
	forward direction = iota
	backward
)

// walkTable reads a table until its end, or until damage, which it returns apart from an error of use.
func walkTable(reader *sstable.Reader, src source, d direction, use use) (damage, err error) {
	defer recoverDamage(&damage)
	iter, err := reader.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err, nil
	}
	defer func() { _ = iter.Close() }()
	first, next := iter.First, iter.Next
	if d == backward {
		first, next = iter.Last, iter.Prev
	}
	for kv := first(); kv != nil; kv = next() {
		v := version{source: src, seq: uint64(kv.SeqNum()), deleted: deletes(kv.Kind())}
		value := func() ([]byte, error) {
			b, _, err := kv.Value(nil)
			return b, err
		}
		if err := use(kv.K.UserKey, v, value); err != nil {
			return nil, err
		}
	}
	return iter.Error(), nil
}

func deletes(kind pebble.InternalKeyKind) bool {
	switch kind {
	case pebble.InternalKeyKindDelete, pebble.InternalKeyKindSingleDelete, pebble.InternalKeyKindDeleteSized:
		return true
	}
	return false
}

// eachInWAL reads a WAL, and passes over what is damaged.
func (s *salvage) eachInWAL(src source, use use, problem func(error)) (err error) {
	file, err := s.openWAL(src.path)
	if err != nil {
		problem(err)
		return nil
	}
	gaps := file.rescue(func(batch []byte) {
		if e := eachInBatch(src, batch, use); e != nil && err == nil {
			err = e
		}
	})
	if gaps == 0 {
		return err
	}
	if _, damage := file.walk(func([]byte) error { return nil }); damage != nil { // and not the torn end
		problem(fmt.Errorf("%s: records in %d places cannot be read: %w", src.path, gaps, damage))
	}
	return err
}

// batchHeader is the length of what a batch begins with: the sequence number of its first change, and their count.
const batchHeader = 12

func eachInBatch(src source, batch []byte, use use) error {
	if len(batch) < batchHeader {
		return nil
	}
	seq := binary.LittleEndian.Uint64(batch)
	for r := batchrepr.Read(batch); ; seq++ {
		kind, key, value, ok, err := r.Next()
		if !ok || err != nil || seq == math.MaxUint64 {
			return nil // its checksum is right, so it is not one of ours
		}
		v := version{source: src, seq: seq, deleted: deletes(kind)}
		if err := use(key, v, func() ([]byte, error) { return value, nil }); err != nil {
			return err
		}
	}
}
