package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"aka/e2e/crowd"
)

// load is clients who each have one connection and send the next request when the one before is answered.
type load struct {
	base        *url.URL
	traffic     traffic
	connections int
	// people is the number of the next person. No number is used twice.
	people *atomic.Int64
	// duration and most, where they are set, end the load: nobody begins after that time, or once so many people have begun.
	duration time.Duration
	most     int64
	// every is the time between one person and the next; 0 is as fast as they are answered.
	every time.Duration
	// prepared are the requests themselves, where they take too much to be made meanwhile.
	prepared [][]byte
}

// prepare makes the next requests beforehand, and lets the load end with them.
func (l *load) prepare(requests int) {
	first := int(l.people.Load())
	for i := range requests {
		l.prepared = append(l.prepared, l.traffic.requests[0].zip(first+i*l.traffic.people))
	}
	l.most = int64(requests * l.traffic.people)
}

// measured is what came of a load.
type measured struct {
	requests, calls, refused int
	took                     time.Duration
	latencies                []time.Duration // sorted
	cpu                      time.Duration   // of the load itself
	stamps                   []stamp         // of when calls were answered
}

// zippedRate is more gzipped batches a second than two cores can take.
const zippedRate = 2000

// retryAfter is how long a client waits after a refusal.
const retryAfter = 20 * time.Millisecond

// run sends until the end, and returns when everything was answered.
func (l *load) run(ctx context.Context) (*measured, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if l.traffic.zipped {
		l.prepare(max(1, int(l.duration.Seconds()*zippedRate)))
	}
	clients := make([]*client, l.connections)
	for i := range clients {
		conn, err := net.Dial("tcp", l.base.Host)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		clients[i] = &client{load: l, conn: conn, reader: bufio.NewReader(conn)}
	}
	from := l.people.Load()
	before, begin := processorTime(), time.Now()
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() {
			if c.failed = c.run(ctx, begin, from); c.failed != nil {
				cancel()
			}
		})
	}
	all.Wait()
	m := &measured{took: time.Since(begin), cpu: processorTime() - before}
	var failed error
	for _, c := range clients {
		m.add(&c.measured)
		if c.failed != nil && (failed == nil || errors.Is(failed, net.ErrClosed)) {
			failed = c.failed
		}
	}
	slices.Sort(m.latencies)
	l.prepared = nil
	return m, failed
}

func (m *measured) add(other *measured) {
	m.requests += other.requests
	m.calls += other.calls
	m.refused += other.refused
	m.latencies = append(m.latencies, other.latencies...)
	m.stamps = append(m.stamps, other.stamps...)
}

// join adds what was measured at another time.
func (m *measured) join(other *measured) {
	m.add(other)
	slices.Sort(m.latencies)
	m.took += other.took
	m.cpu += other.cpu
}

// quantile is the latency that this share of the requests was within.
func (m *measured) quantile(share float64) time.Duration {
	if len(m.latencies) == 0 {
		return 0
	}
	return m.latencies[min(int(share*float64(len(m.latencies))), len(m.latencies)-1)]
}

func (m *measured) rate() float64 { return float64(m.requests) / m.took.Seconds() }

func (m *measured) callRate() float64 { return float64(m.calls) / m.took.Seconds() }

// client is one connection.
type client struct {
	measured
	load     *load
	conn     net.Conn
	reader   *bufio.Reader
	buffer   []byte
	response fasthttp.Response
	failed   error
}

func (c *client) run(ctx context.Context, begin time.Time, from int64) error {
	l := c.load
	people := int64(l.traffic.people)
	for l.duration == 0 || time.Since(begin) < l.duration {
		first := l.people.Add(people) - people
		if l.most > 0 && first-from >= l.most {
			l.people.Add(-people)
			return nil
		}
		if l.every > 0 {
			select {
			case <-time.After(time.Until(begin.Add(time.Duration(first-from) * l.every))):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := c.tell(int(first), int(first-from)/l.traffic.people); err != nil {
			return err
		}
	}
	return nil
}

// tell sends a story, the load's nth.
func (c *client) tell(first, nth int) error {
	for step := range c.load.traffic.requests {
		r := &c.load.traffic.requests[step]
		if c.load.prepared != nil {
			c.buffer = c.load.prepared[nth]
		} else {
			c.buffer = r.fill(c.buffer, first)
		}
		if err := c.send(r.calls); err != nil {
			return err
		}
		if c.load.every > 0 && first%sampled == 0 {
			c.stamps = append(c.stamps, stamp{crowd.Place{Person: first, Step: step}, time.Now().UnixNano()})
		}
	}
	return nil
}

var errAnswer = errors.New("an answer that is neither 200 nor 503")

// send sends one request until it is answered 200.
func (c *client) send(calls int) error {
	for {
		begin := time.Now()
		if _, err := c.conn.Write(c.buffer); err != nil {
			return err
		}
		if err := c.response.Read(c.reader); err != nil {
			return err
		}
		switch c.response.StatusCode() {
		case fasthttp.StatusOK:
			c.latencies = append(c.latencies, time.Since(begin))
			c.requests++
			c.calls += calls
			return nil
		case fasthttp.StatusServiceUnavailable, fasthttp.StatusTooManyRequests:
			c.refused++
			time.Sleep(retryAfter)
		default:
			return fmt.Errorf("%w: %d %.200s", errAnswer, c.response.StatusCode(), c.response.Body())
		}
	}
}

// processorTime is what this process has used of the processors.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
