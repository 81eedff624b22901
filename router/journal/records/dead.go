package records

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/frame"
	"aka/router/segment"
)

// DeadLetter is a call that a destination has given up on, or one that it has dropped and that is kept: see kind.
type DeadLetter struct {
	// ID names the dead letter in this journal; 0 until it is stored.
	ID          uint64 `json:"id"`
	Destination string `json:"destination"`
	// Vendor is the destination's type when it gave up, noted when the dead letter is stored; "" where that is not known.
	Vendor string `json:"vendor,omitempty"`
	// Reason is one of the closed set of reasons.
	Reason string `json:"reason"`
	// Detail is what the vendor or the adapter said, bounded and with secrets masked.
	Detail string `json:"detail,omitempty"`
	// Attempts counts the exchanges; Status is the last answer's, 0 when there was none. Once stored, attempts from before
	// a replay count too.
	Attempts int `json:"attempts"`
	Status   int `json:"status,omitempty"`
	// First and Last are the times of the first and last attempt. Once stored, First is that of the first one ever.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Earlier is the id of the dead letter that the same call was before, when it was tried again in its place and died
	// again; 0 when there was none.
	Earlier uint64 `json:"earlier,omitempty"`
	// Position is the call's place in the log.
	Position frame.Position `json:"position"`
	// Rank is its place in the order of all calls; zero where that is its place in the log.
	Rank frame.Rank `json:"rank,omitzero"`
	// Place is where the call waits as a parked one, and blocks those behind it; nil for nowhere. StoreDeadLetters stores it,
	// with its Dead and DeadLetter, in the write that stores the dead letter. It is not part of that.
	Place *Parked `json:"-"`
	// Entry is the call itself.
	Entry frame.Entry `json:"-"`
}

// Accepted is the place in the log where the call was accepted, before any replay.
func (d *DeadLetter) Accepted() frame.Position {
	if d.Entry.Replayed != nil {
		return d.Entry.Replayed.Position
	}
	return d.Position
}

// Replays counts how often the call was replayed before it died this time.
func (d *DeadLetter) Replays() int {
	if d.Entry.Replayed != nil {
		return d.Entry.Replayed.Times
	}
	return 0
}

// ErrNoDeadLetter tells that there is no dead letter of that id.
var ErrNoDeadLetter = errors.New("no such dead letter")

// ErrRemoved tells that a dead letter's destination is not configured any more, and would not get the call.
var ErrRemoved = errors.New("the destination is not configured any more")

// deadLetters are the kept calls of one kind, of all destinations.
type deadLetters struct {
	kind      kind
	t         *table
	log       *zap.Logger
	retention *retention
}

// StoreDeadLetters stores dead letters, in order, and returns once all are safe on disk, with their ids. When it fails, some may be. A
// second dead letter of the same call by the same destination, as after a failure or a crash, is recognized while the first is
// there, and gives its id. Where there is no room, the oldest go of the destination that has the most. A dead letter and its
// Place are stored together or not at all.
func (s *deadLetters) StoreDeadLetters(ctx context.Context, deadLetters []*DeadLetter) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for len(deadLetters) > 0 {
		run, err := s.nextRun(deadLetters)
		if err != nil {
			return err
		}
		if err := s.retention.makeRoom(ctx, run.size); err != nil {
			return err
		}
		err = run.store(ctx, s.t)
		s.retention.madeUse(run.size)
		if err != nil {
			return fmt.Errorf("store %s of %s: %w", s.kind, run.destination, err)
		}
		deadLetters = deadLetters[len(run.deadLetters):]
	}
	return nil
}

// runShare is the part of max_bytes that is written before there is room made again, and runDeadLetters how many dead letters.
const (
	runShare       = 8
	runDeadLetters = 1000
)

// deadRun are dead letters of one destination that are stored by one write.
type deadRun struct {
	kind        kind
	destination string
	deadLetters []*DeadLetter
	bodies      [][]byte
	size        uint64
}

// nextRun encodes as many dead letters as are to be stored at once, at least one.
func (s *deadLetters) nextRun(deadLetters []*DeadLetter) (*deadRun, error) {
	run := &deadRun{kind: s.kind, destination: deadLetters[0].Destination}
	vendor := s.t.states.typeOf(run.destination)
	for i, d := range deadLetters {
		if d.Destination != run.destination || i == runDeadLetters {
			break
		}
		d.Vendor = vendor
		meta, err := json.Marshal(d.withHistory())
		if err != nil {
			return nil, err
		}
		body := frame.WithMeta(meta, &d.Entry)
		size := run.size + uint64(len(body)) + deadOverhead
		if i > 0 && size > uint64(s.retention.limits.MaxBytes)/runShare {
			break
		}
		run.deadLetters, run.bodies, run.size = deadLetters[:i+1], append(run.bodies, body), size
	}
	return run, nil
}

func (run *deadRun) store(ctx context.Context, r *table) error {
	ids := make([]uint64, len(run.deadLetters))
	err := r.change(ctx, run.destination, func(b *recordState, c *change) error {
		inRun := map[string]uint64{}
		var places []*Parked
		for i, d := range run.deadLetters {
			key := d.callKey(run.kind)
			id, err := storedID(ctx, r, run.destination, key)
			if err != nil {
				return err
			}
			if id == 0 {
				id = inRun[string(key)]
			}
			if id == 0 {
				id = r.nextDead()
				inRun[string(key)] = id
				run.add(b, c, id, key, i)
			}
			ids[i] = id
			if d.Place != nil {
				places = append(places, d.placeOf(id))
			}
		}
		return r.park(ctx, run.destination, b, c, places)
	})
	if err != nil {
		return err
	}
	for i, d := range run.deadLetters {
		if d.ID = ids[i]; d.Place != nil {
			*d.Place = *d.placeOf(d.ID)
		}
	}
	return nil
}

// placeOf is where the call waits as the dead letter of that id.
func (d *DeadLetter) placeOf(id uint64) *Parked {
	place := *d.Place
	place.Destination, place.Dead, place.DeadLetterID = d.Destination, d.Reason, id
	return &place
}

// add puts the dead letter at i into a change.
func (run *deadRun) add(b *recordState, c *change, id uint64, callKey []byte, i int) {
	d := run.deadLetters[i]
	index := deadIndex{
		filter: DeadFilter{d.Destination, d.Reason, d.Entry.Type, d.Entry.Source},
		stored: time.Now(), size: uint64(len(run.bodies[i])) + deadOverhead, callKey: callKey,
	}
	c.set(recordKey(run.kind.keys().body, id), run.bodies[i])
	c.set(recordKey(run.kind.keys().index, id), index.encode())
	c.set(callKey, binary.BigEndian.AppendUint64(nil, id))
	*c.account.kept(run.kind)++
	c.account.lastDead = max(c.account.lastDead, id)
	c.then = append(c.then, func() { b.count(run.kind, &index, 1) })
}

// storedID returns the id that is stored for a call; 0 when none is.
func storedID(ctx context.Context, r *table, destination string, key []byte) (uint64, error) {
	value, err := r.get(ctx, destination, key)
	switch {
	case errors.Is(err, engine.ErrNoRecord):
		return 0, nil
	case err != nil:
		return 0, err
	case len(value) != 8:
		return 0, fmt.Errorf("%w: id of %d bytes", codec.ErrDamaged, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

// callKey is by what a second dead letter of the same call is recognized.
func (d *DeadLetter) callKey(k kind) []byte {
	return callKey(k.keys().call, d.Position, callHash(&d.Entry, d.Earlier))
}

// callHash tells calls at one position apart, and what is stored anew after a dead letter of the same call.
func callHash(e *frame.Entry, earlier uint64) (hash [8]byte) {
	text := fmt.Sprintf("%s\x00%s\x00%d", e.Source, e.MessageID, earlier)
	sum := sha256.Sum256([]byte(text))
	copy(hash[:], sum[:])
	return hash
}

// withHistory adds what the call went through before it was replayed.
func (d DeadLetter) withHistory() DeadLetter {
	if before := d.Entry.Replayed; before != nil {
		d.Attempts += before.Attempts
		d.First = before.First
	}
	return d
}

// DeadFilter chooses dead letters. "" and 0 are any.
type DeadFilter struct {
	Destination, Reason string
	Type                segment.Type
	Source              string
}

func (f *DeadFilter) matches(d *DeadFilter) bool {
	return (f.Destination == "" || f.Destination == d.Destination) && (f.Reason == "" || f.Reason == d.Reason) &&
		(f.Type == 0 || f.Type == d.Type) && (f.Source == "" || f.Source == d.Source)
}

// deadIndex is what dead letters are chosen and counted by, without reading them.
type deadIndex struct {
	filter  DeadFilter
	stored  time.Time
	size    uint64
	callKey []byte
}

// deadOverhead is about what a dead letter takes beside its body.
const deadOverhead = 128

func (x *deadIndex) encode() []byte {
	out := binary.AppendVarint([]byte{recordVersion, byte(x.filter.Type)}, x.stored.UnixMilli())
	out = binary.AppendUvarint(out, x.size)
	for _, text := range [...]string{x.filter.Reason, x.filter.Source, string(x.callKey)} {
		out = append(binary.AppendUvarint(out, uint64(len(text))), text...)
	}
	return codec.AppendSum(out)
}

func decodeDeadIndex(destination string, data []byte) (x deadIndex, err error) {
	r, err := openRecord(data)
	if err != nil {
		return x, err
	}
	x.filter = DeadFilter{Destination: destination, Type: segment.Type(r.Byte())}
	x.stored = time.UnixMilli(r.Varint())
	x.size = r.Uvarint()
	x.filter.Reason, x.filter.Source = string(r.Bytes(r.Uvarint())), string(r.Bytes(r.Uvarint()))
	x.callKey = bytes.Clone(r.Bytes(r.Uvarint()))
	return x, r.Err
}

// DeadLetters calls visit for the dead letters after the id that match, oldest first, until visit returns false. What the
// filter leaves out costs next to nothing, a visit some ten microseconds. What cannot be read is logged and passed over; it can
// be discarded.
func (s *deadLetters) DeadLetters(ctx context.Context, filter DeadFilter, after uint64, visit func(*DeadLetter) bool) error {
	list := s.listDead(filter, after)
	for {
		destination, id, err := list.next(ctx)
		if err != nil || id == 0 {
			return err
		}
		d, err := s.deadLetter(ctx, destination, id)
		switch {
		case errors.Is(err, s.kind.missing()):
			continue
		case errors.Is(err, codec.ErrDamaged), errors.Is(err, engine.ErrDamaged):
			s.reportUnreadable(destination, id, err)
			continue
		case err != nil:
			return err
		}
		if !visit(d) {
			return nil
		}
	}
}

func (s *deadLetters) reportUnreadable(destination string, id uint64, err error) {
	if s.kind == kindDropped {
		s.log.Error("dropped call is unreadable", zap.Uint64("id", id), zap.String("destination", destination), zap.Error(err),
			zap.String("hint", "discard it by its id, and check the disk"))
		return
	}
	s.log.Error("dead letter is unreadable", zap.Uint64("id", id), zap.String("destination", destination), zap.Error(err),
		zap.String("hint", "discard it by its id, and check the disk"))
}

// deadList gives the ids of dead letters, over all destinations, in their order.
type deadList struct {
	kind   kind
	table  *table
	filter DeadFilter
	parts  []*deadPart
}

// deadPart are the ids of one destination that were read ahead.
type deadPart struct {
	destination string
	from        uint64 // where the next read begins
	ids         []uint64
	end         bool
}

// deadAhead is how many ids of each destination are read at once.
const deadAhead = 512

func (s *deadLetters) listDead(filter DeadFilter, after uint64) *deadList {
	l := &deadList{kind: s.kind, table: s.t, filter: filter}
	for _, name := range s.t.names() {
		if filter.Destination == "" || filter.Destination == name {
			l.parts = append(l.parts, &deadPart{destination: name, from: after + 1})
		}
	}
	return l
}

// next returns the lowest id that was not given yet; 0 at the end.
func (l *deadList) next(ctx context.Context) (destination string, id uint64, err error) {
	var lowest *deadPart
	for _, part := range l.parts {
		if len(part.ids) == 0 && !part.end {
			if err := l.read(ctx, part); err != nil {
				return "", 0, err
			}
		}
		if len(part.ids) > 0 && (lowest == nil || part.ids[0] < lowest.ids[0]) {
			lowest = part
		}
	}
	if lowest == nil {
		return "", 0, nil
	}
	id, lowest.ids = lowest.ids[0], lowest.ids[1:]
	return lowest.destination, id, nil
}

func (l *deadList) read(ctx context.Context, part *deadPart) error {
	part.ids, part.end = part.ids[:0], true
	return l.table.each(ctx, part.destination, l.kind.keys().index, part.from, func(id uint64, value []byte) (bool, error) {
		part.from = id + 1
		// One that cannot be read is given, so that its reader says so.
		if x, err := decodeDeadIndex(part.destination, value); err != nil || l.filter.matches(&x.filter) {
			part.ids = append(part.ids, id)
		}
		if len(part.ids) == deadAhead {
			part.end = false
			return false, nil
		}
		return true, nil
	})
}

// DeadLetter returns the one of that id, or ErrNoDeadLetter.
func (s *deadLetters) DeadLetter(ctx context.Context, id uint64) (*DeadLetter, error) {
	for _, destination := range s.t.names() {
		d, err := s.deadLetter(ctx, destination, id)
		if !errors.Is(err, s.kind.missing()) {
			return d, err
		}
	}
	return nil, s.kind.missing()
}

func (s *deadLetters) deadLetter(ctx context.Context, destination string, id uint64) (*DeadLetter, error) {
	data, err := s.t.get(ctx, destination, recordKey(s.kind.keys().body, id))
	if errors.Is(err, engine.ErrNoRecord) {
		return nil, s.kind.missing()
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %d: %w", s.kind.one(), id, err)
	}
	d := &DeadLetter{}
	entry, err := frame.ReadMeta(data, d)
	if err != nil {
		return nil, fmt.Errorf("read %s %d: %w", s.kind.one(), id, err)
	}
	d.ID, d.Entry = id, entry
	return d, nil
}

// Discard removes a dead letter for good, or returns ErrNoDeadLetter.
func (s *deadLetters) Discard(ctx context.Context, id uint64) error {
	for _, destination := range s.t.names() {
		found, err := s.discard(ctx, destination, id)
		if err != nil {
			return fmt.Errorf("discard %s %d: %w", s.kind.one(), id, err)
		}
		if found {
			return nil
		}
	}
	return s.kind.missing()
}

func (s *deadLetters) discard(ctx context.Context, destination string, id uint64) (found bool, err error) {
	err = s.t.change(ctx, destination, func(b *recordState, c *change) error {
		value, err := s.t.get(ctx, destination, recordKey(s.kind.keys().index, id))
		if errors.Is(err, engine.ErrNoRecord) {
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		return b.remove(c, s.kind, destination, id, value)
	})
	return found, err
}

// remove puts the removal of a kept call into a change, by its index.
func (b *recordState) remove(c *change, k kind, destination string, id uint64, index []byte) error {
	x, err := decodeDeadIndex(destination, index)
	if err != nil {
		return err
	}
	c.remove(recordKey(k.keys().body, id))
	c.remove(recordKey(k.keys().index, id))
	c.remove(x.callKey)
	*c.account.kept(k)--
	c.then = append(c.then, func() { b.count(k, &x, -1) })
	return nil
}
