package journal

import (
	"hash/maphash"
	"strconv"
	"time"
)

// messageKey is a 128-bit keyed hash of (source, messageId): small, and no client can make two collide.
type messageKey [2]uint64

type keyHasher [2]maphash.Seed

func newKeyHasher() keyHasher { return keyHasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func (h keyHasher) key(source, messageID string) messageKey { return keyOf(h, source, messageID) }

func keyOf[T string | []byte](h keyHasher, source, messageID T) messageKey {
	var room [128]byte
	text := append(append(append(room[:0], source...), 0), messageID...)
	return messageKey{maphash.Bytes(h[0], text), maphash.Bytes(h[1], text)}
}

// entry returns the key of a call. That of a replayed call is its dead letter's: it was accepted before and is meant to go
// again, but only once for each time that it died.
func (h keyHasher) entry(e *Entry) messageKey {
	if e.Replayed != nil {
		return h.key("\x00"+e.Target, strconv.FormatUint(e.Replayed.DeadLetterID, 10)) // no source has such a name
	}
	return h.key(e.Source, e.MessageID)
}

// dedupe remembers which calls the log has accepted lately. It keeps them in two generations that take turns, so that an
// id is remembered for at least the window and at most twice as long. It belongs to the committer: the one place that
// makes the log's order is the one that decides what came first.
type dedupe struct {
	window       time.Duration
	maxKeys      int
	current, old *keySet
	turned       time.Time
}

// maxDedupeKeys bounds the memory of a generation: up to 19 bytes a key.
const maxDedupeKeys = 4 << 20

func newDedupe(window time.Duration, now time.Time) *dedupe {
	return &dedupe{window: window, maxKeys: maxDedupeKeys, current: &keySet{}, old: &keySet{}, turned: now}
}

// add remembers a key and reports whether it is new.
func (d *dedupe) add(k messageKey, now time.Time) bool {
	if d.window <= 0 {
		return true
	}
	if now.Sub(d.turned) >= d.window || d.current.count >= d.maxKeys {
		d.old, d.current, d.turned = d.current, &keySet{}, now
	}
	return !d.old.has(k) && d.current.add(k)
}

// forget takes back keys whose frame was not written.
func (d *dedupe) forget(keys []messageKey) {
	for _, k := range keys {
		d.current.remove(k)
		d.old.remove(k)
	}
}
