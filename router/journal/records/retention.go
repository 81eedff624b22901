package records

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/router/journal/engine"
)

// DeadCount is how many dead letters there are of one kind, and what they take on disk.
type DeadCount struct {
	DeadFilter
	Count, Bytes uint64
}

// deadSize is how many dead letters there are of one kind.
type deadSize struct{ count, bytes uint64 }

// countKept counts what there is of a kind of a destination's kept calls.
func (b *recordState) countKept(ctx context.Context, view engine.View, destination string, k kind) error {
	from, to := allOf(k.keys().index)
	return view.Scan(ctx, destination, from, to, func(_, value []byte) (bool, error) {
		x, err := decodeDeadIndex(destination, value)
		if err != nil {
			return false, err
		}
		b.count(k, &x, 1)
		return true, nil
	})
}

// count adds a kept call to the counts, or takes it out: by is 1 or -1.
func (b *recordState) count(k kind, x *deadIndex, by int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := b.kept[k][x.filter]
	if size == nil {
		size = &deadSize{}
		b.kept[k][x.filter] = size
	}
	size.count += uint64(by)
	size.bytes += uint64(by) * x.size
	if size.count == 0 {
		delete(b.kept[k], x.filter)
	}
}

// total is how many calls of a kind are kept for a destination.
func (b *recordState) total(k kind) (total deadSize) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, size := range b.kept[k] {
		total.count += size.count
		total.bytes += size.bytes
	}
	return total
}

// DeadSummary returns the counts of all kinds of dead letters, by destination, reason, type and source.
func (s *deadLetters) DeadSummary(context.Context) ([]DeadCount, error) {
	var counts []DeadCount
	for _, name := range s.t.names() {
		b := s.t.recordState(name)
		b.mu.Lock()
		for filter, size := range b.kept[s.kind] {
			counts = append(counts, DeadCount{filter, size.count, size.bytes})
		}
		b.mu.Unlock()
	}
	slices.SortFunc(counts, func(a, b DeadCount) int { return strings.Compare(a.sortKey(), b.sortKey()) })
	return counts, nil
}

func (c *DeadCount) sortKey() string {
	return strings.Join([]string{c.Destination, c.Reason, c.Type.String(), c.Source}, "\x00")
}

// Limits bound the calls of a kind that are kept.
type Limits struct {
	// MaxAge is how long one is kept; 0 is no limit. MaxBytes bounds what all take on disk.
	MaxAge   time.Duration
	MaxBytes uint64
}

// retention keeps the size and the age of one kind of kept calls within their limits.
type retention struct {
	kind   kind
	t      *table
	log    *zap.Logger
	limits Limits
	lost   *prometheus.CounterVec
	fill   FillWatch

	// making is held while room is made.
	making  sync.Mutex
	pending uint64 // the bytes that are being written

	mu     sync.Mutex
	oldest map[string]time.Time // by destination
}

// Limits that remove calls which no operator has replayed or discarded.
const (
	limitAge   = "max_age"
	limitBytes = "max_bytes"
)

func newRetention(k kind, limits Limits, o Options, t *table) *retention {
	r := &retention{kind: k, t: t, log: o.Log, limits: limits, oldest: map[string]time.Time{}}
	r.lost = prometheus.NewCounterVec(k.lostOptions(), []string{"destination", "limit"})
	o.Registry.MustRegister(r, r.lost)
	return r
}

// registerMetrics makes a destination's metrics visible at zero.
func (r *retention) registerMetrics(destination string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, limit := range []string{limitAge, limitBytes} {
		r.lost.WithLabelValues(destination, limit)
	}
	if _, known := r.oldest[destination]; !known {
		r.oldest[destination] = time.Time{}
	}
}

// retentionInterval is how often the limits are enforced.
const retentionInterval = 5 * time.Second

// run enforces the limits until ctx ends.
func (r *retention) run(ctx context.Context) {
	tick := time.NewTicker(retentionInterval)
	defer tick.Stop()
	for {
		if err := r.enforce(ctx, time.Now()); err != nil && ctx.Err() == nil {
			r.notEnforced(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *retention) notEnforced(err error) {
	if r.kind == kindDropped {
		r.log.Warn("dropped call limits not enforced, retrying", zap.Error(err), zap.String("hint", "is the disk full?"))
		return
	}
	r.log.Warn("dead letter limits not enforced, retrying", zap.Error(err), zap.String("hint", "is the disk full?"))
}

func (r *retention) enforce(ctx context.Context, now time.Time) error {
	if err := r.expire(ctx, now); err != nil {
		return err
	}
	if err := r.makeRoom(ctx, 0); err != nil {
		return err
	}
	r.warn()
	return r.findOldest(ctx)
}

// total returns the bytes of all dead letters, and the destination that has the most.
func (r *retention) total() (bytes uint64, largest string) {
	most := uint64(0)
	for _, name := range r.t.names() {
		size := r.t.recordState(name).total(r.kind).bytes
		bytes += size
		if size > most {
			most, largest = size, name
		}
	}
	return bytes, largest
}

// roomStep is the part of max_bytes that is freed beyond what is needed, so that not each dead letter has to make room.
const roomStep = 64

// makeRoom removes dead letters until size bytes more have room, and keeps that free until madeUse. They are the oldest of
// the destination that has the most: one that floods the room takes nothing from the others.
func (r *retention) makeRoom(ctx context.Context, size uint64) error {
	r.making.Lock()
	defer r.making.Unlock()
	limit := r.limits.MaxBytes
	bytes, largest := r.total()
	if need := bytes + r.pending + size; need > limit {
		free := need - limit + limit/roomStep
		for free > 0 && largest != "" {
			n, err := r.drop(ctx, limitBytes, largest, func(x *deadIndex) bool {
				enough := free == 0
				free -= min(free, x.size)
				return !enough
			})
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			_, largest = r.total()
		}
	}
	r.pending += size
	return nil
}

// madeUse says that what there was room for is written, or will not be.
func (r *retention) madeUse(size uint64) {
	r.making.Lock()
	defer r.making.Unlock()
	r.pending -= size
}

// expire removes those that are too old.
func (r *retention) expire(ctx context.Context, now time.Time) error {
	age := r.limits.MaxAge
	if age == 0 {
		return nil
	}
	for _, name := range r.t.names() {
		for n := 1; n > 0; {
			var err error
			if n, err = r.drop(ctx, limitAge, name, func(x *deadIndex) bool { return now.Sub(x.stored) > age }); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop removes the oldest dead letters of a destination as long as they are too many, a batch at a time, says so, and
// returns how many there were.
func (r *retention) drop(ctx context.Context, limit, destination string, tooMany func(*deadIndex) bool) (n int, err error) {
	if r.t.recordState(destination).total(r.kind).count == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	reasons := map[string]int{}
	err = r.t.change(ctx, destination, func(b *recordState, c *change) error {
		return r.t.each(ctx, destination, r.kind.keys().index, 0, func(id uint64, value []byte) (bool, error) {
			x, err := decodeDeadIndex(destination, value)
			if err != nil {
				return false, err
			}
			if n == runDeadLetters || !tooMany(&x) {
				return false, nil
			}
			n++
			reasons[x.filter.Reason]++
			return true, b.remove(c, r.kind, destination, id, value)
		})
	})
	if err != nil || n == 0 {
		return 0, err
	}
	r.lost.WithLabelValues(destination, limit).Add(float64(n))
	if r.kind == kindDropped { // that is what the limits are for
		return n, nil
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		r.log.Error("dead letters removed, their calls are lost", zap.String("limit", r.kind.section()+"."+limit),
			zap.String("destination", destination), zap.String("reason", reason), zap.Int("count", reasons[reason]),
			zap.String("hint", "replay or discard them in time, or raise the limit"))
	}
	return n, nil
}

// warn says when dead letters take up much of their room. What is dropped may fill its own: no call of it was to be sent.
func (r *retention) warn() {
	if r.kind == kindDropped {
		return
	}
	limit := r.limits.MaxBytes
	bytes, _ := r.total()
	if percent := r.fill.Crossed(bytes, limit); percent > 0 {
		r.log.Warn("dead letters take up much of their room", zap.Int("percent_of_max_bytes", percent), zap.Uint64("bytes", bytes),
			zap.Uint64("max_bytes", limit), zap.String("hint", "replay or discard some, or raise dead_letters.max_bytes; when it is full the oldest are removed"))
	}
}

// findOldest notes since when each destination has had its oldest.
func (r *retention) findOldest(ctx context.Context) error {
	for _, name := range r.t.names() {
		at := time.Time{}
		if r.t.recordState(name).total(r.kind).count > 0 {
			err := r.t.each(ctx, name, r.kind.keys().index, 0, func(_ uint64, value []byte) (bool, error) {
				x, err := decodeDeadIndex(name, value)
				at = x.stored
				return false, err
			})
			if err != nil {
				return err
			}
		}
		r.mu.Lock()
		if _, known := r.oldest[name]; known || !at.IsZero() {
			r.oldest[name] = at
		}
		r.mu.Unlock()
	}
	return nil
}

// keptMetrics describe what is kept of a kind.
type keptMetrics struct{ calls, bytes, oldest, limit *prometheus.Desc }

func (k kind) metrics() keptMetrics {
	return [kindCount]keptMetrics{deadMetrics, droppedMetrics}[k]
}

var (
	deadMetrics = keptMetrics{
		calls:  desc("dead_letters", "Dead letters that are kept.", "destination"),
		bytes:  desc("dead_letters_bytes", "Size of the dead letters on disk.", "destination"),
		oldest: desc("dead_letters_oldest_seconds", "Age of the oldest dead letter, since it was stored; 0 when there is none.", "destination"),
		limit:  desc("dead_letters_max_bytes", "Size beyond which the oldest dead letters go (dead_letters.max_bytes)."),
	}
	droppedMetrics = keptMetrics{
		calls:  desc("dropped_kept", "Dropped calls that are kept.", "destination"),
		bytes:  desc("dropped_kept_bytes", "Size of the kept dropped calls on disk.", "destination"),
		oldest: desc("dropped_kept_oldest_seconds", "Age of the oldest kept dropped call, since it was stored; 0 when there is none.", "destination"),
		limit:  desc("dropped_kept_max_bytes", "Size beyond which the oldest kept dropped calls go (dropped.max_bytes)."),
	}
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("aka_"+name, help, labels, nil)
}

func (k kind) lostOptions() prometheus.CounterOpts {
	return [kindCount]prometheus.CounterOpts{
		{Namespace: "aka", Subsystem: "dead_letters", Name: "lost_total",
			Help: "Dead letters that went because of dead_letters.max_age or max_bytes: their calls are lost."},
		{Namespace: "aka", Subsystem: "dropped", Name: "removed_total",
			Help: "Kept dropped calls that went because of dropped.max_age or max_bytes: they cannot be replayed any more."},
	}[k]
}

// Describe implements prometheus.Collector.
func (r *retention) Describe(ch chan<- *prometheus.Desc) {
	m := r.kind.metrics()
	for _, desc := range []*prometheus.Desc{m.calls, m.bytes, m.oldest, m.limit} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (r *retention) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	m := r.kind.metrics()
	gauge(m.limit, float64(r.limits.MaxBytes))
	r.mu.Lock()
	oldest := maps.Clone(r.oldest)
	r.mu.Unlock()
	for _, name := range r.t.names() {
		if total := r.t.recordState(name).total(r.kind); total.count > 0 {
			if _, known := oldest[name]; !known {
				oldest[name] = time.Time{}
			}
		}
	}
	for destination, since := range oldest {
		total := r.t.recordState(destination).total(r.kind)
		gauge(m.calls, float64(total.count), destination)
		gauge(m.bytes, float64(total.bytes), destination)
		age := 0.0
		if !since.IsZero() {
			age = max(time.Since(since).Seconds(), 0)
		}
		gauge(m.oldest, age, destination)
	}
}
