package ingress

import (
	"errors"
	"io"
	"sync/atomic"

	"aka/router/segment"
)

const (
	// leastFree and mostFree bound what every request may take without asking, so that a usual single call never lacks room.
	leastFree = 4 << 10
	mostFree  = 64 << 10
	// largestBodies is for how many bodies of the largest size there is room at once.
	largestBodies = 8
	// callBytes is about what a call takes beside its own bytes until it is in the journal: a hundred thousand calls of
	// nothing but a type and an id are not as small as they look.
	callBytes = 512
)

var errNoRoom = errors.New("too many large bodies at once")

// room is the memory that large requests share until their calls are in the journal: many at once, sent slowly, made to
// grow by decompression or by what the envelope says of every call, must not take all there is.
type room struct {
	size  int64
	free  int64 // what each request may take beside
	taken atomic.Int64
}

// reset makes the room as large as the limits need. All that up to 32,000 connections take without asking is no more than it.
func (r *room) reset(l *Limits) {
	r.size = largestBodies * int64(l.decompressed())
	r.free = min(max(r.size/int64(l.Connections), leastFree), mostFree)
}

// share is the part of the room that one request holds.
type share struct {
	room  *room
	taken int64
}

// hold makes sure that the share is for as many bytes, and tells whether it is: others may have taken too much. A share
// never shrinks before it is given back.
func (s *share) hold(bytes int64) bool {
	more := bytes - s.room.free - s.taken
	if more <= 0 {
		return true
	}
	if s.room.taken.Add(more) > s.room.size {
		s.room.taken.Add(-more)
		return false
	}
	s.taken += more
	return true
}

func (s *share) giveBack() {
	s.room.taken.Add(-s.taken)
	s.taken = 0
}

// meter is a reader whose share grows with what it reads.
type meter struct {
	reader io.Reader
	share  *share
	read   int64
}

// Read reads; it fails with errNoRoom when others have taken too much.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.reader.Read(p)
	m.read += int64(n)
	if !m.share.hold(m.read) {
		return n, errNoRoom
	}
	return n, err
}

// weight is about how much memory a body's calls take until they are in the journal.
func weight(result *segment.Result) int64 {
	bytes := callBytes * (len(result.Messages) + len(result.Rejected))
	for i := range result.Messages {
		bytes += len(result.Messages[i].JSON) + len(result.Messages[i].Routing)
	}
	return int64(bytes)
}
