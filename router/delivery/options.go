package delivery

import (
	"slices"
	"time"

	"aka/destinations/adapter"
	"aka/router/breaker"
	"aka/router/httpclient"
	"aka/router/spelling"
	"aka/router/strictyaml"
)

// Options are the `delivery` section of the config: how calls go to a destination. A destination's own section overrides
// them key by key. Start from DefaultOptions.
type Options struct {
	// Timeout bounds one HTTP exchange, from dialing to the end of the answer. Up to 10m. Default 10s.
	Timeout time.Duration `yaml:"timeout"`
	// Concurrency is how many exchanges may be in flight. 1 to 1024. Default 16.
	Concurrency int `yaml:"concurrency"`
	// Order is how strictly one person's calls are kept in order: identity (nothing overtakes an alias, identify or group), strict
	// (one at a time, as they arrived) or none. Default: the vendor's, which is strict for Vero and identity for the others.
	Order adapter.Order `yaml:"order"`
	// Window is how many calls are held in memory, waiting or in flight. At least concurrency, up to 1000000. Default 10000.
	Window int `yaml:"window"`
	// WindowBytes bounds the same calls, and those that are parked and in memory, too, by the memory that they take: each as
	// JSON, as requests, and some 2KB. At least 1MiB; a destination's share of buffer_bytes bounds them too. Default 32MiB.
	WindowBytes strictyaml.Size `yaml:"window_bytes"`
	// Batch is for vendors that take several calls at once; their own limits hold too.
	Batch BatchOptions `yaml:"batch"`
	// Rate is how many calls go out per second at most. 0 is unlimited. Default 0.
	Rate float64 `yaml:"rate"`
	// Retry is how a call that failed in passing is tried again: after a random part of a wait that doubles each time. A
	// vendor's Retry-After wins.
	Retry RetryOptions `yaml:"retry"`
	// Breaker is when a destination counts as down: nothing is sent to it then but one probe per cooldown.
	Breaker breaker.Options `yaml:"breaker"`
	// OnDead is what becomes of those behind a call that became a dead letter: continue, or block. With block, the calls that
	// must not overtake it (see order) wait on disk until it was replayed and delivered, or discarded, or removed by the limits
	// of dead_letters. One that waits for longer than max_backlog_age becomes a dead letter too, and blocks in its place.
	// Default continue.
	OnDead OnDead `yaml:"on_dead"`
	// MaxBacklogAge is how long a call may wait for a destination that takes nothing, before it becomes a dead letter. It
	// keeps one dead vendor from filling the journal that all share. 0 is for ever; else at least 1m. Default 7d.
	//
	// That is longer than an outage over a long weekend.
	MaxBacklogAge time.Duration `yaml:"max_backlog_age"`
	// AllowPrivate lets calls go to this machine and to private networks (loopback, 10.0.0.0/8, 192.168.0.0/16, fd00::/8 and the
	// like), whichever name leads there: where the endpoint is a proxy of your own, or a simulator. The addresses at which clouds
	// give their machines credentials, such as 169.254.169.254, are never connected to. aka connects to the vendors itself:
	// HTTP_PROXY and its like mean nothing to it. Default false.
	//
	// So nobody who can write a name server's answer, or a config, reaches what only this machine does.
	AllowPrivate bool `yaml:"allow_private"`
}

// BatchOptions bound the batches to vendors that take several calls at once. The vendor's own limits hold too.
type BatchOptions struct {
	// MaxItems is how many calls go in one batch. 1 to 10000. Default 2000.
	MaxItems int `yaml:"max_items"`
	// MaxWait is how long a batch that is not full waits for more. 0 is not at all, up to 1m. Default 100ms.
	MaxWait time.Duration `yaml:"max_wait"`
}

// RetryOptions say how a call that failed in passing is tried again: after a random part of a wait that doubles each time.
// A vendor's Retry-After wins.
type RetryOptions struct {
	// Initial is the first wait at its longest. Above 0. Default 500ms.
	Initial time.Duration `yaml:"initial"`
	// Max is the longest wait. At least initial. Default 1m.
	Max time.Duration `yaml:"max"`
	// MaxAge is how long a call is tried again before it becomes a dead letter. 0 is for ever. Default 24h.
	MaxAge time.Duration `yaml:"max_age"`
	// MaxAttempts is how often a call is tried before it becomes a dead letter. 0 is unlimited. Default 0.
	MaxAttempts int `yaml:"max_attempts"`
}

// DefaultOptions are those of a config that says nothing.
var DefaultOptions = Options{
	Timeout:       10 * time.Second,
	Concurrency:   16,
	Window:        10_000,
	WindowBytes:   32 * strictyaml.MiB,
	Batch:         BatchOptions{MaxItems: 2000, MaxWait: 100 * time.Millisecond},
	Retry:         RetryOptions{Initial: 500 * time.Millisecond, Max: time.Minute, MaxAge: 24 * time.Hour},
	Breaker:       breaker.Options{Failures: 10, Ratio: 0.5, Interval: 30 * time.Second, Cooldown: 5 * time.Second, MaxCooldown: time.Minute},
	OnDead:        OnDeadContinue,
	MaxBacklogAge: 7 * 24 * time.Hour,
}

// HTTP are the options of a sender that the destination's exchanges go through.
func (o *Options) HTTP() httpclient.Options {
	return httpclient.Options{Timeout: o.Timeout, AllowPrivate: o.AllowPrivate}
}

// orders are the words that order takes; the empty one leaves it to the vendor.
var orders = []adapter.Order{"", adapter.OrderIdentity, adapter.OrderStrict, adapter.OrderNone}

// Check reports every value that is out of its range, by its key below the section.
func (o *Options) Check(report func(key, format string, args ...any)) {
	text := strictyaml.FormatDuration
	expect := func(ok bool, key, format string, args ...any) {
		if !ok {
			report(key, "expected "+format, args...)
		}
	}
	expect(o.Timeout > 0 && o.Timeout <= 10*time.Minute, "timeout", "more than 0s, up to 10m, not %s", text(o.Timeout))
	expect(o.Concurrency >= 1 && o.Concurrency <= 1024, "concurrency", "1 to 1024, not %d", o.Concurrency)
	expect(slices.Contains(orders, o.Order), "order", "identity, strict or none, not %q%s", o.Order, spelling.Hint(string(o.Order), []string{"identity", "strict", "none"}))
	expect(o.Window >= max(o.Concurrency, 1) && o.Window <= 1_000_000, "window", "%d (concurrency) to 1000000, not %d", max(o.Concurrency, 1), o.Window)
	expect(o.WindowBytes >= strictyaml.MiB, "window_bytes", "at least 1MiB, not %s", o.WindowBytes)
	expect(o.Batch.MaxItems >= 1 && o.Batch.MaxItems <= 10_000, "batch.max_items", "1 to 10000, not %d", o.Batch.MaxItems)
	expect(o.Batch.MaxWait <= time.Minute, "batch.max_wait", "up to 1m, not %s", text(o.Batch.MaxWait))
	expect(o.Rate >= 0, "rate", "calls per second or 0 for unlimited, not %v", o.Rate)
	expect(o.Retry.Initial > 0, "retry.initial", "more than 0s")
	expect(o.Retry.Max >= o.Retry.Initial, "retry.max", "at least retry.initial, %s, not %s", text(o.Retry.Initial), text(o.Retry.Max))
	expect(o.Retry.MaxAttempts >= 0, "retry.max_attempts", "a number or 0 for unlimited, not %d", o.Retry.MaxAttempts)
	expect(o.Breaker.Failures >= 1, "breaker.failures", "at least 1, not %d", o.Breaker.Failures)
	expect(o.Breaker.Ratio >= 0 && o.Breaker.Ratio <= 1, "breaker.ratio", "0 for off, up to 1, not %v", o.Breaker.Ratio)
	expect(o.Breaker.Interval >= time.Second && o.Breaker.Interval <= time.Hour, "breaker.interval", "1s to 1h, not %s", text(o.Breaker.Interval))
	expect(o.Breaker.Cooldown > 0, "breaker.cooldown", "more than 0s")
	expect(o.Breaker.MaxCooldown >= o.Breaker.Cooldown, "breaker.max_cooldown", "at least breaker.cooldown, %s, not %s", text(o.Breaker.Cooldown), text(o.Breaker.MaxCooldown))
	expect(o.OnDead == OnDeadContinue || o.OnDead == OnDeadBlock, "on_dead", "continue or block, not %q%s", o.OnDead, spelling.Hint(string(o.OnDead), []string{"continue", "block"}))
	expect(o.MaxBacklogAge == 0 || o.MaxBacklogAge >= time.Minute, "max_backlog_age", "0 for ever, or at least 1m, not %s", text(o.MaxBacklogAge))
}
