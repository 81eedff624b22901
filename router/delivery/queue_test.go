package delivery

import (
	"testing"
	"time"

	"aka/destinations/adapter"
)

// The envelope and the separators count in MaxBytes.
func TestQueue_ABatchWithItsEnvelopeIsNoLongerThanItMay(t *testing.T) {
	const items = 10
	for _, batch := range []adapter.Batch{{}, {Before: `{"batch":[`, After: "]}", Separator: ","}, {Separator: "\r\n"}} {
		requests := make([]adapter.Request, items)
		for i := range requests {
			requests[i] = adapter.Request{Body: []byte(`{"id":1}`), Batch: &batch}
		}
		for n := 1; n <= items; n++ {
			batch.MaxBytes = len(adapter.Body(requests[:n]))
			q := newQueue(BatchOptions{MaxItems: items})
			for i := range requests {
				q.push(&job{outcome: adapter.Send(requests[i])}, time.Time{})
			}
			if jobs, _ := q.pick(nil, time.Time{}, true, items); len(jobs) != n {
				t.Errorf("%+v: %d items in the first exchange, want %d", batch, len(jobs), n)
			}
		}
	}
}
