package journal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// DeadCount is how many dead letters there are of one kind, and what they take on disk.
type DeadCount struct {
	DeadFilter
	Count, Bytes uint64
}

// DeadSummary returns the counts of all kinds of dead letters, by destination, reason, type and source. Just after the
// start it waits until they are counted.
func (j *Journal) DeadSummary(ctx context.Context) ([]DeadCount, error) {
	if err := j.graves.count(ctx); err != nil {
		return nil, err
	}
	return j.graves.summary(), nil
}

// graves keeps the account of the dead letters, and their number and age within the limits.
type graves struct {
	j    *Journal
	lost *prometheus.CounterVec
	fill spaceWatch

	// changing is held while dead letters are counted and while some are removed, so that none is counted that is gone.
	changing sync.Mutex
	pending  uint64 // the bytes that are being written

	// mu is held for no longer than it takes to look or to count: metrics must not wait for the disk.
	mu      sync.Mutex
	counted uint64 // up to which id they are counted
	kinds   map[string]*DeadCount
	oldest  map[string]time.Time // by destination
}

// What makes dead letters go that nobody has replayed or discarded.
const (
	limitAge   = "max_age"
	limitBytes = "max_bytes"
)

func newGraves(j *Journal, reg prometheus.Registerer) *graves {
	g := &graves{j: j, kinds: map[string]*DeadCount{}, oldest: map[string]time.Time{}}
	g.lost = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "aka", Subsystem: "dead_letters", Name: "lost_total",
		Help: "Dead letters that went because of dead_letters.max_age or max_bytes: their calls are lost."}, []string{"destination", "limit"})
	reg.MustRegister(g, g.lost)
	return g
}

// expect makes a destination's metrics visible at zero.
func (g *graves) expect(destination string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, limit := range []string{limitAge, limitBytes} {
		g.lost.WithLabelValues(destination, limit)
	}
	if _, known := g.oldest[destination]; !known {
		g.oldest[destination] = time.Time{}
	}
}

// tendInterval is how often the dead letters' limits are looked after.
const tendInterval = 5 * time.Second

// tend keeps the account and the limits until the journal closes.
func (g *graves) tend(ctx context.Context) {
	tick := time.NewTicker(tendInterval)
	defer tick.Stop()
	for {
		if err := g.tendOnce(ctx, time.Now()); err != nil && ctx.Err() == nil {
			g.j.log.Warn("dead letters could not be looked after; trying again: is the disk full?", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (g *graves) tendOnce(ctx context.Context, now time.Time) error {
	if err := g.expire(ctx, now); err != nil {
		return err
	}
	if err := g.makeRoom(ctx, 0); err != nil {
		return err
	}
	if err := g.verify(ctx); err != nil {
		return err
	}
	if err := g.count(ctx); err != nil {
		return err
	}
	return g.findOldest(ctx)
}

// count counts those that are new, a batch at a time.
func (g *graves) count(ctx context.Context) error {
	for {
		more, err := g.countSome(ctx)
		if err != nil || !more {
			return err
		}
	}
}

func (g *graves) countSome(ctx context.Context) (more bool, err error) {
	g.changing.Lock()
	defer g.changing.Unlock()
	letters, err := g.j.store().get(ctx, deadStream, directGet{Seq: g.counted + 1}) // counted changes only here and in verify
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range letters {
		k := g.kind(letters[i].subject)
		k.Count++
		k.Bytes += uint64(letters[i].size())
		g.counted = letters[i].seq
	}
	return len(letters) > 0, err
}

// kind is called with mu held.
func (g *graves) kind(subject string) *DeadCount {
	k := g.kinds[subject]
	if k == nil {
		k = &DeadCount{DeadFilter: deadFilterOf(subject)}
		g.kinds[subject] = k
		if _, known := g.oldest[k.Destination]; !known {
			g.oldest[k.Destination] = time.Time{}
		}
	}
	return k
}

// forget takes one that is gone out of the account.
func (g *graves) forget(seq uint64, subject string, size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if seq > g.counted {
		return
	}
	k := g.kind(subject)
	k.Count -= min(k.Count, 1)
	k.Bytes -= min(k.Bytes, uint64(size))
}

func (g *graves) summary() []DeadCount {
	g.mu.Lock()
	defer g.mu.Unlock()
	var counts []DeadCount
	for _, subject := range slices.Sorted(maps.Keys(g.kinds)) {
		if k := g.kinds[subject]; k.Count > 0 {
			counts = append(counts, *k)
		}
	}
	return counts
}

// remove takes one away.
func (g *graves) remove(ctx context.Context, id uint64) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	stored, err := g.j.store().dead.GetMsg(ctx, id)
	if err != nil {
		return err
	}
	if err := g.j.store().dead.DeleteMsg(ctx, id); err != nil {
		return err
	}
	g.forget(id, stored.Subject, messageSize(stored.Subject, stored.Header.Get(jetstream.MsgIDHeader), stored.Data))
	return nil
}

// roomStep is the part of max_bytes that is freed beyond what is needed, so that not each burial has to make room.
const roomStep = 64

// makeRoom lets dead letters go until size bytes more have room, and keeps that free until madeUse. They are the oldest of
// the destination that has the most: one that floods the room takes nothing from the others.
func (g *graves) makeRoom(ctx context.Context, size int) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	info, err := g.j.store().dead.Info(ctx)
	if err != nil {
		return fmt.Errorf("size of the dead letters: %w", err)
	}
	limit := uint64(g.j.options.DeadLetters.MaxBytes)
	need := info.State.Bytes + g.pending + uint64(size)
	if need > limit {
		free := need - limit + limit/roomStep
		tooMany := func(letter *rawFrame) bool {
			enough := free == 0
			free -= min(free, uint64(letter.size()))
			return !enough
		}
		for n := 1; n > 0; {
			n, err = g.drop(ctx, limitBytes, g.largest(), tooMany)
			if n == 0 && free > 0 && err == nil { // the account is wrong
				n, err = g.drop(ctx, limitBytes, DeadFilter{}, tooMany)
			}
			if err != nil {
				return err
			}
		}
	}
	g.pending += uint64(size)
	return nil
}

// largest returns the destination whose dead letters take the most, as far as they are counted; none while none are.
func (g *graves) largest() (f DeadFilter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	bytes, most := map[string]uint64{}, uint64(0)
	for _, k := range g.kinds {
		bytes[k.Destination] += k.Bytes
		if bytes[k.Destination] > most {
			most, f.Destination = bytes[k.Destination], k.Destination
		}
	}
	return f
}

// madeUse tells that what there was room for is written, or will not be.
func (g *graves) madeUse(size int) {
	g.changing.Lock()
	defer g.changing.Unlock()
	g.pending -= uint64(size)
}

// expire lets those go that are too old.
func (g *graves) expire(ctx context.Context, now time.Time) error {
	age := g.j.options.DeadLetters.MaxAge
	if age == 0 {
		return nil
	}
	for {
		more, err := g.expireSome(ctx, now, age)
		if err != nil || !more {
			return err
		}
	}
}

func (g *graves) expireSome(ctx context.Context, now time.Time, age time.Duration) (more bool, err error) {
	g.changing.Lock()
	defer g.changing.Unlock()
	n, err := g.drop(ctx, limitAge, DeadFilter{}, func(letter *rawFrame) bool { return now.Sub(letter.at) > age })
	return n > 0, err
}

// drop lets the oldest that match go as long as they are too many, a batch at a time, says so, and returns how many there
// were. It is called with changing held.
func (g *graves) drop(ctx context.Context, limit string, which DeadFilter, tooMany func(*rawFrame) bool) (n int, err error) {
	letters, err := g.j.store().get(ctx, deadStream, directGet{Seq: 1, NextFor: which.subject()})
	if err != nil {
		return 0, err
	}
	for n < len(letters) && tooMany(&letters[n]) {
		n++
	}
	if n == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := g.j.store().dead.Purge(ctx, jetstream.WithPurgeSubject(which.subject()), jetstream.WithPurgeSequence(letters[n-1].seq+1)); err != nil {
		return 0, fmt.Errorf("let dead letters go: %w", err)
	}
	g.dropped(limit, letters[:n])
	return n, nil
}

func (g *graves) dropped(limit string, letters []rawFrame) {
	type kind struct{ destination, reason string }
	counts := map[kind]int{}
	for i := range letters {
		f := deadFilterOf(letters[i].subject)
		counts[kind{f.Destination, f.Reason}]++
		g.lost.WithLabelValues(f.Destination, limit).Inc()
		g.forget(letters[i].seq, letters[i].subject, letters[i].size())
	}
	for k, n := range counts {
		g.j.log.Error("dead letters were let go and their calls are lost: replay or discard them in time, or raise the limit",
			zap.String("limit", "dead_letters."+limit), zap.String("destination", k.destination), zap.String("reason", k.reason), zap.Int("count", n))
	}
}

// verify warns of the size, and has all counted anew where the account is wrong: a removal whose answer did not come may
// have been done all the same.
func (g *graves) verify(ctx context.Context) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	info, err := g.j.store().dead.Info(ctx)
	if err != nil {
		return err
	}
	limit := uint64(g.j.options.DeadLetters.MaxBytes)
	if percent := g.fill.crossed(info.State.Bytes, limit); percent > 0 {
		g.j.log.Warn("dead letters take up much of their room; when it is full, the oldest go, of the destination that has the most: replay or discard some, or raise dead_letters.max_bytes",
			zap.Int("percent_of_max_bytes", percent), zap.Uint64("bytes", info.State.Bytes), zap.Uint64("max_bytes", limit))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	count := uint64(0)
	for _, k := range g.kinds {
		count += k.Count
	}
	if count != info.State.Msgs && g.counted == info.State.LastSeq {
		g.counted = 0
		clear(g.kinds)
	}
	return nil
}

// findOldest notes since when each destination has had its oldest.
func (g *graves) findOldest(ctx context.Context) error {
	g.mu.Lock()
	destinations := slices.Collect(maps.Keys(g.oldest))
	g.mu.Unlock()
	for _, destination := range destinations {
		f := DeadFilter{Destination: destination}
		first, err := g.j.store().dead.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(f.subject()))
		at := time.Time{}
		switch {
		case err == nil:
			at = first.Time
		case !isGone(err):
			return err
		}
		g.mu.Lock()
		g.oldest[destination] = at
		g.mu.Unlock()
	}
	return nil
}

var (
	deadCalls  = prometheus.NewDesc("aka_dead_letters", "Dead letters that are kept, as counted every few seconds.", []string{"destination"}, nil)
	deadBytes  = deadDesc("bytes", "Size of the dead letters on disk.", "destination")
	deadOldest = deadDesc("oldest_seconds", "Age of the oldest dead letter, since it was stored; 0 when there is none.", "destination")
	deadLimit  = deadDesc("max_bytes", "Size beyond which the oldest dead letters go (dead_letters.max_bytes).")
)

func deadDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("aka_dead_letters_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (g *graves) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{deadCalls, deadBytes, deadOldest, deadLimit} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (g *graves) Collect(ch chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	gauge(deadLimit, float64(g.j.options.DeadLetters.MaxBytes))
	for destination, oldest := range g.oldest {
		var count, bytes uint64
		for _, k := range g.kinds {
			if k.Destination == destination {
				count, bytes = count+k.Count, bytes+k.Bytes
			}
		}
		gauge(deadCalls, float64(count), destination)
		gauge(deadBytes, float64(bytes), destination)
		age := 0.0
		if !oldest.IsZero() {
			age = max(time.Since(oldest).Seconds(), 0)
		}
		gauge(deadOldest, age, destination)
	}
}
