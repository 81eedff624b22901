package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Load sends the calls of people. Each person's request is sent until it is answered 200; then the person's next one is sent.
type Load struct {
	// Traffic is what people send. The first person sends the first traffic, the second person the second, and so on in turns. All
	// have the same number of people in a request.
	Traffic []Traffic
	// Connections is the maximum of people who send at the same time. Each has a connection.
	Connections int
	// Every is the time between two people's starts, however fast aka answers (open loop). 0 is a closed loop: on each connection,
	// the next person starts when the one before is done.
	Every time.Duration
	// Duration and MaxPeople end the load, where they are set: after that time, or that many people, no other person starts.
	Duration  time.Duration
	MaxPeople int64
	// Persistent sends a request again when it got no answer, or an unexpected one, as SDKs do. Otherwise that ends the load.
	Persistent bool
	// Sample is the share of people whose acknowledgements are kept: one in so many. 0 keeps none.
	Sample int
	// Next is the number of the next person. Several loads may share it: no number is used twice.
	Next *atomic.Int64

	// Acked counts the calls that were answered 200, Refused the requests that were answered something else, Unexpected those of them
	// that were not 503 with a Retry-After.
	Acked, Refused, Unexpected atomic.Int64

	ctx      context.Context
	cancel   context.CancelFunc
	address  atomic.Pointer[string]
	begin    time.Time
	from     int64
	finished chan struct{}
	finish   func() // closes finished
	prepared [][]byte
	cpu      time.Duration

	running sync.WaitGroup
	mu      sync.Mutex
	clients []*client
	acks    []Ack
	failed  error
}

// Ack is a call that was answered 200.
type Ack struct {
	Step
	// Began is when it was sent first, Sent when for the last time, and At when it was answered 200.
	Began, Sent, At time.Time
}

// retryAfter is the wait before a request is sent again. It doubles up to maxRetryAfter: thousands of waiting people must not keep
// aka from the processors.
const (
	retryAfter    = 20 * time.Millisecond
	maxRetryAfter = 64 * retryAfter
	// answerTimeout bounds the wait of a persistent load for an answer.
	answerTimeout = 30 * time.Second
	// zippedRate is more gzipped requests a second than two cores can take.
	zippedRate = 2000
)

// Start begins to send to an address, host:port. The load ends with ctx at the latest.
func (l *Load) Start(ctx context.Context, address string) error {
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.Follow(address)
	l.finished = make(chan struct{})
	l.finish = sync.OnceFunc(func() { close(l.finished) })
	l.from = l.Next.Load()
	if l.Traffic[0].Zipped {
		l.prepare(max(1, int(l.Duration.Seconds()*zippedRate)))
	}
	if l.Every > 0 {
		l.begin, l.cpu = time.Now(), ProcessorTime()
		l.running.Go(l.arrive)
		return nil
	}
	for range l.Connections {
		c := l.newClient()
		if err := c.connect(); err != nil && !l.Persistent {
			l.end()
			return err
		}
	}
	l.begin, l.cpu = time.Now(), ProcessorTime()
	for _, c := range l.clients {
		l.running.Go(c.run)
	}
	return nil
}

// prepare compresses requests in advance, and ends the load after them.
func (l *Load) prepare(requests int) {
	t := &l.Traffic[0]
	for i := range requests {
		l.prepared = append(l.prepared, t.Requests[0].Zip(int(l.from)+i*t.People))
	}
	l.MaxPeople = int64(requests * t.People)
}

// Follow sends to another address from now on.
func (l *Load) Follow(address string) { l.address.Store(&address) }

// Finish starts no other person. Those who have started send all their calls.
func (l *Load) Finish() { l.finish() }

// Acks returns the acknowledgements that were kept so far.
func (l *Load) Acks() []Ack {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.acks)
}

// Wait returns when all is answered. It must be called once.
func (l *Load) Wait() (*Measured, error) {
	l.running.Wait()
	m := &Measured{Took: time.Since(l.begin), CPU: ProcessorTime() - l.cpu, Calls: int(l.Acked.Load()), Refused: int(l.Refused.Load()), Acks: l.acks}
	for _, c := range l.clients {
		m.Latencies = append(m.Latencies, c.latencies...)
	}
	slices.Sort(m.Latencies)
	l.end()
	return m, l.failed
}

// Run starts the load, and returns when all is answered.
func (l *Load) Run(ctx context.Context, address string) (*Measured, error) {
	if err := l.Start(ctx, address); err != nil {
		return nil, err
	}
	return l.Wait()
}

func (l *Load) end() {
	l.finish()
	for _, c := range l.clients {
		c.disconnect()
	}
	l.cancel()
	l.prepared = nil
}

// arrive starts one person after the other, on an idle connection.
func (l *Load) arrive() {
	idle := make(chan *client, l.Connections)
	for n := 0; ; n++ {
		select {
		case <-time.After(time.Until(l.begin.Add(time.Duration(n) * l.Every))):
		case <-l.finished:
			return
		case <-l.ctx.Done():
			return
		}
		if len(idle) == 0 && len(l.clients) < l.Connections {
			idle <- l.newClient()
		}
		var c *client
		select {
		case c = <-idle:
		case <-l.finished:
			return
		case <-l.ctx.Done():
			return
		}
		first, ok := l.claim()
		if !ok {
			return
		}
		l.running.Go(func() {
			c.send(first)
			idle <- c
		})
	}
}

// claim returns the number of the next person, or the first of several, unless the load has ended.
func (l *Load) claim() (first int, ok bool) {
	select {
	case <-l.finished:
		return 0, false
	default:
	}
	if l.ctx.Err() != nil || l.Duration > 0 && time.Since(l.begin) >= l.Duration {
		return 0, false
	}
	people := int64(l.Traffic[0].People)
	next := l.Next.Add(people) - people
	if l.MaxPeople > 0 && next-l.from >= l.MaxPeople {
		l.Next.Add(-people)
		return 0, false
	}
	return int(next), true
}

func (l *Load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = err
	}
	l.cancel()
}

// client is one connection.
type client struct {
	load      *Load
	conn      net.Conn
	released  func() bool // of conn, from the end of the load's context
	reader    *bufio.Reader
	buffer    []byte
	response  fasthttp.Response
	latencies []time.Duration
}

func (l *Load) newClient() *client {
	c := &client{load: l}
	l.clients = append(l.clients, c)
	return c
}

func (c *client) connect() error {
	if c.conn != nil {
		return nil
	}
	conn, err := (&net.Dialer{}).DialContext(c.load.ctx, "tcp", *c.load.address.Load())
	if err != nil {
		return err
	}
	c.conn, c.reader = conn, bufio.NewReader(conn)
	c.released = context.AfterFunc(c.load.ctx, func() { _ = conn.Close() })
	return nil
}

func (c *client) disconnect() {
	if c.conn == nil {
		return
	}
	c.released()
	_ = c.conn.Close()
	c.conn = nil
}

func (c *client) run() {
	for first, ok := c.load.claim(); ok; first, ok = c.load.claim() {
		c.send(first)
	}
}

// send sends all requests of a person, or of several, from the number first on.
func (c *client) send(first int) {
	l := c.load
	nth := (first - int(l.from)) / l.Traffic[0].People
	requests := l.Traffic[nth%len(l.Traffic)].Requests
	for i := range requests {
		r := &requests[i]
		if l.prepared != nil {
			c.buffer = l.prepared[nth]
		} else {
			c.buffer = r.Fill(c.buffer, first)
		}
		began := time.Now()
		sent, err := c.untilTaken()
		if err != nil {
			l.fail(err)
			return
		}
		l.acknowledge(r, first, Ack{Began: began, Sent: sent, At: time.Now()})
	}
}

func (l *Load) acknowledge(r *Request, first int, ack Ack) {
	if l.Sample > 0 && first%l.Sample == 0 {
		l.mu.Lock()
		for _, s := range r.Steps {
			ack.Step = Step{first + s.Person, s.Index}
			l.acks = append(l.acks, ack)
		}
		l.mu.Unlock()
	}
	l.Acked.Add(int64(len(r.Steps)))
}

// untilTaken sends what is in the buffer until it is answered 200. It returns the time of the last try.
func (c *client) untilTaken() (sent time.Time, err error) {
	for wait := retryAfter; ; wait = min(2*wait, maxRetryAfter) {
		taken := false
		sent, taken, err = c.exchange()
		if taken {
			c.latencies = append(c.latencies, time.Since(sent))
			return sent, nil
		}
		if err != nil && !c.load.Persistent {
			return sent, err
		}
		select {
		case <-time.After(wait):
		case <-c.load.ctx.Done():
			return sent, c.load.ctx.Err()
		}
	}
}

var errAnswer = errors.New("an answer that is neither 200 nor 503")

// exchange sends what is in the buffer, and reads the answer.
func (c *client) exchange() (sent time.Time, taken bool, err error) {
	if err := c.connect(); err != nil {
		return sent, false, err
	}
	sent = time.Now()
	if c.load.Persistent {
		_ = c.conn.SetDeadline(sent.Add(answerTimeout))
	}
	_, err = c.conn.Write(c.buffer)
	if err == nil {
		err = c.response.Read(c.reader)
	}
	if err != nil {
		c.disconnect()
		return sent, false, err
	}
	if c.response.ConnectionClose() {
		c.disconnect()
	}
	status := c.response.StatusCode()
	if status == fasthttp.StatusOK {
		return sent, true, nil
	}
	c.load.Refused.Add(1)
	if status != fasthttp.StatusServiceUnavailable || len(c.response.Header.Peek("Retry-After")) == 0 {
		c.load.Unexpected.Add(1)
	}
	if status != fasthttp.StatusServiceUnavailable && status != fasthttp.StatusTooManyRequests {
		err = fmt.Errorf("%w: %d %.200s", errAnswer, status, c.response.Body())
	}
	return sent, false, err
}

// Measured is the result of a load, or of several, one after the other.
type Measured struct {
	Calls, Refused int
	Took           time.Duration
	Latencies      []time.Duration // of the requests, sorted
	CPU            time.Duration   // of the load itself
	Acks           []Ack
}

// Join adds what was measured at another time.
func (m *Measured) Join(other *Measured) {
	m.Calls += other.Calls
	m.Refused += other.Refused
	m.Took += other.Took
	m.CPU += other.CPU
	m.Latencies = append(m.Latencies, other.Latencies...)
	slices.Sort(m.Latencies)
}

// Quantile returns the latency of which this share of the requests is below.
func (m *Measured) Quantile(share float64) time.Duration {
	if len(m.Latencies) == 0 {
		return 0
	}
	return m.Latencies[min(int(share*float64(len(m.Latencies))), len(m.Latencies)-1)]
}

// Rate returns the requests per second.
func (m *Measured) Rate() float64 { return float64(len(m.Latencies)) / m.Took.Seconds() }

// CallRate returns the calls per second.
func (m *Measured) CallRate() float64 { return float64(m.Calls) / m.Took.Seconds() }
