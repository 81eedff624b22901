package records

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
)

// queueEnds says for the queues of a destination behind which key nothing is stored, so that calls which are put at their ends
// need not be looked for. It belongs to who has the record state's changing.
type queueEnds struct {
	last uint64            // the highest queue in which something may be stored
	ends map[uint64][]byte // of some queues, the highest key that may be stored
}

// maxEnds bounds how many are remembered.
const maxEnds = 1 << 16

// addTo notes that something may be stored under sorted keys, and returns those under which something may have been before.
func (q *queueEnds) addTo(keys [][]byte) (before [][]byte) {
	for _, key := range keys {
		queue := queueIn(key)
		end, known := q.ends[queue]
		isNew := queue > q.last || known && bytes.Compare(key, end) > 0
		if !isNew {
			before = append(before, key)
			continue
		}
		q.makeRoom()
		q.last, q.ends[queue] = max(q.last, queue), key
	}
	return before
}

// found notes what is stored, key by key in order.
func (q *queueEnds) found(key []byte) {
	queue := queueIn(key)
	q.makeRoom()
	q.last, q.ends[queue] = max(q.last, queue), append(q.ends[queue][:0], key...)
}

// makeRoom forgets the lower half of the queues when they are too many: most of those have ended.
func (q *queueEnds) makeRoom() {
	if q.ends == nil {
		q.ends = map[uint64][]byte{}
	}
	if len(q.ends) < maxEnds {
		return
	}
	queues := slices.Sorted(maps.Keys(q.ends))
	for _, queue := range queues[:len(queues)/2] {
		delete(q.ends, queue)
	}
}

func queueIn(key []byte) uint64 {
	if len(key) < 9 {
		return 0
	}
	return binary.BigEndian.Uint64(key[1:])
}
