package merges

import (
	"context"
	"encoding/binary"

	"aka/destinations/adapter"
	"aka/router/journal/frame"
)

// keyUnderWay + generation of the account, place of the call: a merge that is under way. No sweep comes here.
const keyUnderWay = 3

// UnderWay is a merge that an earlier run was about to send, and whose end it has not saved: the vendor may know it, and the memory
// does not.
type UnderWay struct {
	// At is the call's place in the log.
	At frame.Position

	from, to digest
}

// waitingFact is a fact about a merge under way that is not on disk yet. A nil value removes it.
type waitingFact struct {
	value   []byte
	changed uint64
}

// At returns a merge as that of a call at a place in the log.
func (m *Memory) At(at frame.Position, a *adapter.Merge) UnderWay {
	return UnderWay{At: at, from: m.id(a.From), to: m.id(a.To)}
}

// Begins notes that a merge is about to be sent. It may be sent once the Changes of the number that is returned are saved.
func (m *Memory) Begins(u UnderWay) (number uint64) {
	value := append(append(make([]byte, 0, 2*len(u.from)), u.from[:]...), u.to[:]...)
	m.underWay[m.underWayKey(u.At)] = waitingFact{value, m.change}
	return m.change
}

// Ends notes that a merge that began has ended: what came of it is in the same Changes, or it will not be sent.
func (m *Memory) Ends(at frame.Position) {
	m.underWay[m.underWayKey(at)] = waitingFact{nil, m.change}
}

// UnderWay returns the merges that earlier runs have begun, and have not ended. Those of another account are removed.
func (m *Memory) UnderWay(ctx context.Context) (found []UnderWay, err error) {
	err = m.store.EachFact(ctx, []byte{keyUnderWay}, func(key, value []byte) bool {
		if len(key) == 0 || key[0] != keyUnderWay {
			return false
		}
		if u, ok := m.decodeUnderWay(key, value); ok {
			found = append(found, u)
		} else {
			m.underWay[string(key)] = waitingFact{nil, m.change}
		}
		return true
	})
	return found, err
}

// PeopleOf names the two people that a merge under way is about to join, as PersonOf does.
func (m *Memory) PeopleOf(u UnderWay) [2][16]byte {
	return [2][16]byte{m.root(m.get(u.from)).id, m.root(m.get(u.to)).id}
}

func (m *Memory) underWayKey(at frame.Position) string {
	key := binary.BigEndian.AppendUint32([]byte{keyUnderWay}, m.meta.generation)
	return string(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(key, at.Seq), uint32(at.Index)))
}

// decodeUnderWay reads what Begins wrote. It returns false for what is another account's, or damaged.
func (m *Memory) decodeUnderWay(key, value []byte) (u UnderWay, ok bool) {
	const keyLength = 1 + 4 + 8 + 4
	if len(key) != keyLength || key[0] != keyUnderWay || binary.BigEndian.Uint32(key[1:]) != m.meta.generation || len(value) != 2*len(digest{}) {
		return u, false
	}
	u.At = frame.Position{Seq: binary.BigEndian.Uint64(key[5:]), Index: int(binary.BigEndian.Uint32(key[13:]))}
	u.from, u.to = digest(value[:len(digest{})]), digest(value[len(digest{}):])
	return u, true
}
