package ingress

import (
	"errors"
	"io"
	"sync/atomic"

	"aka/router/segment"
)

const (
	// leastFree and mostFree bound what every request may take without a reservation, so that an ordinary single call needs none.
	leastFree = 4 << 10
	mostFree  = 64 << 10
	// largestBodies is how many bodies of the largest size fit into the budget at once.
	largestBodies = 8
	// callBytes is about what a call takes beside its own bytes until it is in the journal: a hundred thousand calls of
	// nothing but a type and an id are not as small as they look.
	callBytes = 512
)

var errNoMemory = errors.New("too many large bodies at once")

// memoryBudget bounds the memory of large requests until their calls are in the journal. Many at once, slow ones, and those that
// grow by decompression or by their envelope must not take all there is.
type memoryBudget struct {
	size  int64
	free  int64 // what each request may take beside
	taken atomic.Int64
}

// reset sets the budget that the limits need. What up to 32,000 connections take without a reservation is within it, too.
func (r *memoryBudget) reset(l *Limits) {
	r.size = largestBodies * int64(l.decompressed())
	r.free = min(max(r.size/int64(l.Connections), leastFree), mostFree)
}

// reservation is the part of the budget that one request has.
type reservation struct {
	budget *memoryBudget
	taken  int64
}

// reserve makes the reservation at least that large, and reports whether it could: other requests may have too much. A
// reservation does not shrink before giveBack.
func (s *reservation) reserve(bytes int64) bool {
	more := bytes - s.budget.free - s.taken
	if more <= 0 {
		return true
	}
	if s.budget.taken.Add(more) > s.budget.size {
		s.budget.taken.Add(-more)
		return false
	}
	s.taken += more
	return true
}

func (s *reservation) giveBack() {
	s.budget.taken.Add(-s.taken)
	s.taken = 0
}

// countingReader reserves memory for what it reads.
type countingReader struct {
	reader   io.Reader
	reserved *reservation
	read     int64
}

// Read reads. It fails with errNoMemory when the budget is used up.
func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.reader.Read(p)
	r.read += int64(n)
	if !r.reserved.reserve(r.read) {
		return n, errNoMemory
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
