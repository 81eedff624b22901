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
}

// measured is what came of a load.
type measured struct {
	requests, calls, refused int
	took                     time.Duration
	latencies                []time.Duration // sorted
	cpu                      time.Duration   // of the load itself
}

// retryAfter is how long a client waits after a refusal.
const retryAfter = 20 * time.Millisecond

// run sends until the end, and returns when everything was answered.
func (l *load) run(ctx context.Context) (*measured, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
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
	last := l.people.Load() + l.most
	before, begin := processorTime(), time.Now()
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() {
			if c.failed = c.run(begin, last); c.failed != nil {
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
	return m, failed
}

func (m *measured) add(other *measured) {
	m.requests += other.requests
	m.calls += other.calls
	m.refused += other.refused
	m.latencies = append(m.latencies, other.latencies...)
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

func (c *client) run(begin time.Time, last int64) error {
	people := int64(c.load.traffic.people)
	for c.load.duration == 0 || time.Since(begin) < c.load.duration {
		first := c.load.people.Add(people) - people
		if c.load.most > 0 && first >= last {
			c.load.people.Add(-people)
			return nil
		}
		for i := range c.load.traffic.requests {
			if err := c.send(&c.load.traffic.requests[i], int(first)); err != nil {
				return err
			}
		}
	}
	return nil
}

var errAnswer = errors.New("an answer that is neither 200 nor 503")

// send sends one request until it is answered 200.
func (c *client) send(r *request, first int) error {
	c.buffer = r.fill(c.buffer, first)
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
			c.calls += r.calls
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
