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
	// Concurrency is how many exchanges may be in flight: adaptive, a fixed number from 1 to 1024, or { min, max }. adaptive begins
	// at 16. It grows while the vendor answers as fast as before. It shrinks when the vendor answers with errors, or more slowly as
	// the load grows. { min, max } is adaptive within bounds: min is 1 if you do not give it; max is 1024, a quarter of window, or
	// 128 for Vero, whichever is lowest. Default adaptive.
	//
	// A vendor that takes 150 ms for an exchange gets 16 / 0.15 s = 107 exchanges per second from a fixed 16, whatever it could take.
	Concurrency Concurrency `yaml:"concurrency"`
	// Order is how strictly aka keeps one person's calls in order. identity lets no call overtake an alias, identify or group.
	// strict sends one call at a time, as they arrived. none keeps no order. Default: the vendor's, which is strict for Vero
	// and identity for the others.
	Order adapter.Order `yaml:"order"`
	// Window is how many calls are in memory, waiting or in flight. At least concurrency, up to 1000000. Adaptive concurrency
	// stays below a quarter of it. Default 10000. aka holds a quarter more right after a destination begins to look down.
	Window int `yaml:"window"`
	// WindowBytes bounds the memory of the same calls, and of parked calls that are in memory too. A call counts as its JSON,
	// its requests, and about 2KB. A destination's share of buffer_bytes bounds them too. At least 1MiB. Default 32MiB.
	WindowBytes strictyaml.Size `yaml:"window_bytes"`
	// Batch is for vendors that take several calls at once. The vendor's own limits hold too.
	Batch BatchOptions `yaml:"batch"`
	// Rate is how many calls aka sends per second at most. 0 leaves it to the vendor: aka learns a rate when the vendor answers
	// 429, or says in X-RateLimit headers how much is left. Default 0.
	Rate float64 `yaml:"rate"`
	// Retry is how aka retries a call after a temporary failure. The wait is random, and its upper bound doubles each time. A
	// vendor's Retry-After has priority.
	Retry RetryOptions `yaml:"retry"`
	// Breaker is when a destination counts as down. Then aka sends it only one probe per cooldown.
	Breaker breaker.Options `yaml:"breaker"`
	// OnDead is what happens to the calls behind a dead letter: continue, or block. With block, the calls that must not
	// overtake it (see order) wait on disk. They wait until it was replayed and delivered, or discarded, or removed by the
	// limits of dead_letters. A call that waits for longer than max_backlog_age becomes a dead letter too, and blocks in its
	// place. Default continue.
	OnDead OnDead `yaml:"on_dead"`
	// MaxBacklogAge is how long a call may wait for a destination, before it becomes a dead letter. So one vendor that is down
	// cannot fill the journal for all. 0 is no limit; else at least 1m. Default 7d.
	//
	// That is longer than an outage over a long weekend.
	MaxBacklogAge time.Duration `yaml:"max_backlog_age"`
	// BacklogAlarm is how old the oldest waiting call must be for a destination whose backlog grows to be in the state filling.
	// Parked calls do not count. 0 is never; else at least 1m. Default 15m.
	BacklogAlarm time.Duration `yaml:"backlog_alarm"`
	// AllowPrivate allows calls to this machine and to private networks (loopback, 10.0.0.0/8, 192.168.0.0/16, fd00::/8 and the
	// like). Set it if the endpoint is your own proxy, or a simulator. aka never connects to the addresses at which clouds give
	// their machines credentials, such as 169.254.169.254. aka connects to the vendors itself, and ignores HTTP_PROXY and the
	// like. Default false.
	//
	// So a forged answer of a name server, or a config, does not reach what only this machine does.
	AllowPrivate bool `yaml:"allow_private"`
}

// BatchOptions bound the batches to vendors that take several calls at once. The vendor's own limits hold too.
type BatchOptions struct {
	// MaxItems is how many calls one batch has at most. 1 to 10000. Default 2000.
	MaxItems int `yaml:"max_items"`
	// MaxWait is how long a batch that is not full waits for more calls. 0 is not at all, up to 1m. Default 100ms.
	MaxWait time.Duration `yaml:"max_wait"`
}

// RetryOptions say how a call that failed in passing is tried again: after a random part of a wait that doubles each time.
// A vendor's Retry-After wins.
type RetryOptions struct {
	// Initial is the upper bound of the first wait. Above 0. Default 500ms.
	Initial time.Duration `yaml:"initial"`
	// Max is the longest wait. At least initial. Default 1m.
	Max time.Duration `yaml:"max"`
	// MaxAge is how long aka retries a call before it becomes a dead letter. 0 is no limit. Default 24h.
	MaxAge time.Duration `yaml:"max_age"`
	// MaxAttempts is how often aka tries a call before it becomes a dead letter. 0 is unlimited. Default 0.
	MaxAttempts int `yaml:"max_attempts"`
}

// DefaultOptions are those of a config that says nothing.
var DefaultOptions = Options{
	Timeout:       10 * time.Second,
	Window:        10_000,
	WindowBytes:   32 * strictyaml.MiB,
	Batch:         BatchOptions{MaxItems: 2000, MaxWait: 100 * time.Millisecond},
	Retry:         RetryOptions{Initial: 500 * time.Millisecond, Max: time.Minute, MaxAge: 24 * time.Hour},
	Breaker:       breaker.Options{Failures: 10, Ratio: 0.5, Interval: 30 * time.Second, Cooldown: 5 * time.Second, MaxCooldown: time.Minute},
	OnDead:        OnDeadContinue,
	MaxBacklogAge: 7 * 24 * time.Hour,
	BacklogAlarm:  15 * time.Minute,
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
	o.Concurrency.check(report)
	expect(slices.Contains(orders, o.Order), "order", "identity, strict or none, not %q%s", o.Order, spelling.Hint(string(o.Order), []string{"identity", "strict", "none"}))
	least := o.Concurrency.least()
	expect(o.Window >= least && o.Window <= 1_000_000, "window", "%d (concurrency) to 1000000, not %d", least, o.Window)
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
	expect(o.MaxBacklogAge == 0 || o.MaxBacklogAge >= time.Minute, "max_backlog_age", "0 for no limit, or at least 1m, not %s", text(o.MaxBacklogAge))
	expect(o.BacklogAlarm == 0 || o.BacklogAlarm >= time.Minute, "backlog_alarm", "0 for never, or at least 1m, not %s", text(o.BacklogAlarm))
}
