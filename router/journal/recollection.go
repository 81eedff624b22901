package journal

import (
	"strconv"
	"time"
)

// recollection is the dedupe window as the journal's files have it. It is taken while they are examined, so that a start reads
// them once.
type recollection struct {
	window  time.Duration
	now     time.Time
	hasher  keyHasher
	seen    *dedupe
	windows windowMarks
	last    uint64 // the last frame in the files
	// inOrder tells that each frame stood behind the one before it. Where one did not, something was written twice.
	inOrder bool
}

func newRecollection(window time.Duration, now time.Time) *recollection {
	return &recollection{window: window, now: now, hasher: newKeyHasher(), seen: newDedupe(window, now), inOrder: true}
}

// note takes in a sound record of the log.
func (c *recollection) note(r record) {
	if r.erased || r.tombstone {
		return
	}
	c.inOrder = c.inOrder && r.seq > c.last
	c.last = r.seq
	at := time.Unix(0, r.at)
	if c.window <= 0 || at.Before(c.now.Add(-c.window)) {
		return
	}
	c.windows.mark(r.seq, at, c.window)
	c.hasher.each(r.payload, func(k messageKey) { c.seen.add(k, c.now) })
}

// each calls visit for the key of each call in a frame that is looked for when another comes, and for none of one that is
// damaged.
func (h keyHasher) each(frame []byte, visit func(messageKey)) {
	body, sound := cutSum(frame)
	if !sound || len(body) == 0 || body[0] != frameVersion {
		return
	}
	r := recordReader{data: body[1:]}
	r.skip(1) // how many calls stand before it
	for len(r.data) > 0 {
		one := recordReader{data: r.bytes(r.uvarint())}
		key, once := one.key(h)
		if r.err != nil || one.err != nil {
			return
		}
		if once {
			visit(key)
		}
	}
}

// key reads a record as far as its key needs: see keyHasher.entry and Entry.isOnce.
func (r *recordReader) key(h keyHasher) (key messageKey, once bool) {
	replayed, letter := r.byte()&flagReplayed != 0, uint64(0)
	r.skip(4) // two times
	if replayed {
		letter = r.uvarint()
		r.skip(6)
	}
	source, target, messageID := r.bytes(r.uvarint()), r.bytes(r.uvarint()), r.bytes(r.uvarint())
	switch {
	case replayed:
		return h.key("\x00"+string(target), strconv.FormatUint(letter, 10)), true
	case len(target) > 0:
		return key, false
	}
	return keyOf(h, source, messageID), true
}
