package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"aka/e2e/crowd"
)

// load is people who come at a steady pace, however aka is, and tell their stories. Each sends a call again, with the same
// messageId, until it is answered 200, and the next one after that; one in four sends its story in two batches.
type load struct {
	ctx    context.Context
	client *http.Client
	api    atomic.Pointer[string] // of the process that runs now
	finish context.CancelFunc
	people sync.WaitGroup
	acked  atomic.Int64
	// refused counts answers that were not 200, and unanswered what had no answer.
	refused, unanswered atomic.Int64
	// odd counts answers that are neither 200 nor a 503 with a Retry-After: none has a reason.
	odd atomic.Int64

	mu   sync.Mutex
	acks []ack
}

// ack is a call that was answered 200.
type ack struct {
	crowd.Place
	// began is when it was sent first, sent when for the last time, and at when it was answered 200.
	began, sent, at time.Time
}

// mostPeople bounds who is under way at once. Those who come later wait at the door.
const mostPeople = 5000

// patience is how long somebody waits before sending again. It doubles up to mostPatience: all who wait together must leave the
// processors to what they wait for.
const (
	patience     = 20 * time.Millisecond
	mostPatience = 16 * patience
)

// startLoad has people come, so that they make so many calls a second.
func startLoad(w *world, rate float64) *load {
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	l := &load{ctx: w.ctx, client: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
	w.cleanUp(transport.CloseIdleConnections)
	l.follow(w)
	arriving, finish := context.WithCancel(w.ctx)
	l.finish = finish
	w.cleanUp(finish)
	l.people.Go(func() { l.arrive(arriving, time.Duration(float64(time.Second)*crowd.Steps/rate)) })
	return l
}

// follow tells the people of the process that runs now.
func (l *load) follow(w *world) {
	api := w.process.API
	l.api.Store(&api)
}

func (l *load) arrive(ctx context.Context, every time.Duration) {
	door := make(chan struct{}, mostPeople)
	start := time.Now()
	for person := 0; ; person++ {
		select {
		case <-time.After(time.Until(start.Add(time.Duration(person) * every))):
		case <-ctx.Done():
			return
		}
		select {
		case door <- struct{}{}:
		case <-ctx.Done():
			return
		}
		l.people.Go(func() {
			l.live(person)
			<-door
		})
	}
}

// live tells one person's story.
func (l *load) live(person int) {
	parts := [][]int{{0}, {1}, {2}, {3}, {4}, {5}, {6}}
	if person%4 == 3 {
		parts = [][]int{{0, 1, 2, 3}, {4, 5, 6}}
	}
	for _, steps := range parts {
		if !l.tell(person, steps) {
			return
		}
	}
}

// tell sends steps in one batch until they are taken. It reports false when the scenario is over before.
func (l *load) tell(person int, steps []int) bool {
	calls := make([]string, len(steps))
	for i, step := range steps {
		calls[i] = crowd.Call(person, step)
	}
	body := `{"batch":[` + strings.Join(calls, ",") + `]}`
	began := time.Now()
	sent := began
	for wait := patience; !l.send(body); wait = min(2*wait, mostPatience) {
		select {
		case <-time.After(wait):
		case <-l.ctx.Done():
			return false
		}
		sent = time.Now()
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, step := range steps {
		l.acks = append(l.acks, ack{Place: crowd.Place{Person: person, Step: step}, began: began, sent: sent, at: now})
	}
	l.acked.Add(int64(len(steps)))
	return true
}

// send posts a batch and reports whether it was answered 200.
func (l *load) send(body string) bool {
	request, err := http.NewRequestWithContext(l.ctx, http.MethodPost, *l.api.Load()+"/v1/batch", strings.NewReader(body))
	if err != nil {
		return false
	}
	request.SetBasicAuth(writeKey, "")
	request.Header.Set("Content-Type", "application/json")
	response, err := l.client.Do(request)
	if err != nil {
		l.unanswered.Add(1)
		return false
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		l.unanswered.Add(1)
		return false
	}
	if response.StatusCode != http.StatusOK {
		l.refused.Add(1)
		if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
			l.odd.Add(1)
		}
		return false
	}
	return true
}

// untilAcked waits until so many calls were answered 200.
func (l *load) untilAcked(w *world, calls int64) error {
	return w.until("calls are answered", func() (bool, error) { return l.acked.Load() >= calls, nil })
}

// end lets nobody come any more, and waits until those who are there have told their stories.
func (l *load) end(w *world) error {
	l.finish()
	told := make(chan struct{})
	go func() {
		l.people.Wait()
		close(told)
	}()
	return w.until("all stories are told", func() (bool, error) {
		select {
		case <-told:
			return true, w.ctx.Err()
		default:
			return false, nil
		}
	})
}

// taken are the calls that were answered 200.
func (l *load) taken() []ack {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]ack(nil), l.acks...)
}
