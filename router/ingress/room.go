package ingress

import (
	"errors"
	"io"
	"sync/atomic"
)

const (
	// freeBytes is what every body may take without asking: single calls never lack room.
	freeBytes = 64 << 10
	// largestBodies is for how many bodies of the largest size there is room at once.
	largestBodies = 8
)

var errNoRoom = errors.New("too many large bodies at once")

// room is the memory that large bodies share: many at once, sent slowly or made to decompress to the limit, must not take
// all there is.
type room struct {
	size  int64
	taken atomic.Int64
}

// share is a reader that takes room for what it reads.
type share struct {
	reader      io.Reader
	room        *room
	read, taken int64
}

// Read reads; it fails with errNoRoom when others have taken too much.
func (s *share) Read(p []byte) (int, error) {
	n, err := s.reader.Read(p)
	s.read += int64(n)
	more := s.read - freeBytes - s.taken
	if more <= 0 {
		return n, err
	}
	s.taken += more
	if s.room.taken.Add(more) > s.room.size {
		return n, errNoRoom
	}
	return n, err
}

func (s *share) giveBack() {
	if s.taken > 0 {
		s.room.taken.Add(-s.taken)
	}
	*s = share{}
}
