// Command bench measures the aka that is shipped, and in the same run what the machine could do at best:
//
//	go run ./bench                              everything; see docs/performance.md
//	go run ./bench -only accept -for 10s
//	go run ./bench -only deliver-3 -aka ./aka -profile /tmp/profiles
//	go run ./bench -only latency -latency 20ms,100ms,300ms -chart latency.svg
//	go run ./bench -beside ./older/aka
//
// Aka, the vendors that it sends to, and what it is compared with are processes of their own, on loopback; the calls come from
// this one. What is wrong (lost, out of order, delivered twice) makes the exit code 1; being slow never does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"time"

	"aka/e2e/harness"
)

// scenario is one thing that is measured. Those of the short form alone take minutes else.
type scenario = harness.Scenario[*bench]

// scenarios are all there are, in the order in which they run.
var scenarios = []scenario{
	{Name: "accept-single", Does: "single aliases that no destination wants, kept and read", Run: accept(singleAliases...)},
	{Name: "accept-mixed", Does: "mixed traffic, one call per request", Run: accept(work{name: "mixed, 256 connections", traffic: mixed, connections: 256})},
	{Name: "accept-batch", Does: "batches of a hundred calls", Run: accept(
		work{name: "alias batches, 32 connections", traffic: aliasBatches, connections: 32},
		work{name: "mixed batches, 32 connections", traffic: mixedBatches, connections: 32},
		work{name: "mixed batches, gzip, 32 connections", traffic: zippedBatches, connections: 32})},
	{Name: "accept-10", Does: "aliases that one destination reads, and that ten do", Run: acceptTen},
	{Name: "deliver-1", Does: "aliases to one destination that takes one call per request", Run: deliver("alias, 1 destination", setup{destinations: 1})},
	{Name: "deliver-3", Does: "aliases to three destinations", Run: deliver("alias, 3 destinations", setup{destinations: 3, ofBare: bareGoal})},
	{Name: "deliver-10", Does: "aliases to ten destinations", Run: deliver("alias, 10 destinations", setup{destinations: 10, ofBare: bareGoal})},
	{Name: "deliver-mixed", Does: "mixed traffic to three destinations, one of which takes batches", Run: deliver("mixed, 3 destinations", setup{destinations: 3, mixed: true})},
	{Name: "batch-1", Does: "tracks to one Mixpanel that takes up to 2,000 in one gzipped request", Run: deliverBatches(1)},
	{Name: "batch-3", Does: "the same to three", Run: deliverBatches(3)},
	{Name: "deliver-device", Does: "mixed traffic from browsers, in the order of their clocks", Run: deliver("browsers, 3 destinations", setup{destinations: 3, mixed: true, device: true}), LongOnly: true},
	{Name: "deliver-device-off", Does: "the same with reorder_window: 0s", Run: deliver("browsers, no reordering", setup{destinations: 3, mixed: true, device: true, source: "reorder_window: 0s"}), LongOnly: true},
	{Name: "tls", Does: "aliases to three destinations over http, and over https", Run: overTLS},
	{Name: "lag", Does: "from being accepted to being at the vendor, none of them slow", Run: lag("all fast", 1000, setup{destinations: 3, mixed: true})},
	{Name: "lag-slow", Does: "the same where one vendor takes a while and another long", Run: lag("some slow", 200,
		setup{destinations: 3, mixed: true, shapes: []shape{{}, {latency: 20 * time.Millisecond}, {latency: 500 * time.Millisecond}}})},
	{Name: "latency-adaptive", Does: "aliases to three vendors that answer after a while, with concurrency: adaptive", Run: latency(adaptive)},
	{Name: "latency-16", Does: "the same with concurrency: 16", Run: latency(fixed), LongOnly: true},
	{Name: "latency-destinations", Does: "to one, three and ten vendors that answer after 100 ms", Run: latencyDestinations, LongOnly: true},
	{Name: "cap-second", Does: "vendors that answer 429 above 50 a second, by the second", Run: caps(shape{perSecond: 50, bySecond: true}), LongOnly: true},
	{Name: "cap-bucket-0", Does: "vendors that answer 429 above 50 a second, and allow no bursts", Run: caps(shape{perSecond: 50}), LongOnly: true},
	{Name: "cap-bucket-10", Does: "vendors that answer 429 above 50 a second, and allow bursts of 10", Run: caps(shape{perSecond: 50, bucket: 10}), LongOnly: true},
	{Name: "cliff", Does: "vendors that answer 503 above 8 and 40 in flight", Run: cliffs, LongOnly: true},
	{Name: "workers", Does: "vendors of 8 and 40 workers, whose latency grows with the load", Run: workers, LongOnly: true},
	{Name: "start", Does: "an aka that has nothing", Run: start},
	{Name: "backlog-small", Does: "a hundredth of the backlog", Run: backlog(func(b *bench) int { return b.calls / 100 })},
	{Name: "backlog-medium", Does: "a tenth of it", Run: backlog(func(b *bench) int { return b.calls / 10 })},
	{Name: "backlog-large", Does: "calls that wait for vendors that are away", Run: backlog(func(b *bench) int { return b.calls })},
	{Name: "start-large", Does: "an aka that has ten times the backlog", Run: startLarge, ShortOnly: true},
	{Name: "disk", Does: "what is written to the disk until calls are delivered, and what stays there", Run: disk},
	{Name: "blocked-none-200", Does: "others' calls where no one fails, window 200", Run: blocked(200, withoutFailures)},
	{Name: "blocked-one-200", Does: "one person's call fails, with 50,000 behind it, window 200", Run: blocked(200, onePerson)},
	{Name: "blocked-30-200", Does: "thirty people's calls fail, window 200", Run: blocked(200, thirtyPeople)},
	{Name: "blocked-at-once-200", Does: "thirty people's calls fail that come in one batch, window 200", Run: blocked(200, thirtyAtOnce)},
	{Name: "blocked-none-10000", Does: "others' calls where no one fails, window 10,000", Run: blocked(10_000, withoutFailures)},
	{Name: "blocked-one-10000", Does: "one person's call fails, with 50,000 behind it, window 10,000", Run: blocked(10_000, onePerson)},
	{Name: "blocked-30-10000", Does: "thirty people's calls fail, window 10,000", Run: blocked(10_000, thirtyPeople)},
	{Name: "blocked-at-once-10000", Does: "thirty people's calls fail that come in one batch, window 10,000", Run: blocked(10_000, thirtyAtOnce), LongOnly: true},
	{Name: "held-none", Does: "others' calls where no alias is held", Run: held(noneHeld)},
	{Name: "held-one", Does: "one held alias with a twentieth of the backlog behind it, which is then refused", Run: held(oneHeld)},
	{Name: "held-one-large", Does: "one held alias with the whole backlog behind it", Run: held(oneHeldLarge), ShortOnly: true},
	{Name: "held-bound", Does: "fifty held aliases, and more calls behind them than max_calls", Run: held(heldOverBound)},
	{Name: "held-many", Does: "ten thousand held aliases, with calls behind each, which are then refused", Run: held(manyHeld)},
	{Name: "memory-identities", Does: "identifies and aliases with the memory of merges on, in turn with it off", Run: memoryBesideNone("identities")},
	{Name: "memory-tracks", Does: "tracks with it on and off", Run: memoryBesideNone("tracks")},
	{Name: "facts", Does: "an aka that remembers many merges: its start, and its memory with deliveries", Run: facts, ShortOnly: true},
	{Name: "preflight", Does: "a preflight of an export, with three simulated vendors", Run: preflights},
	{Name: "commands", Does: "aka version, check and explain", Run: commands},
}

var singleAliases = []work{
	{name: "alias, 1 connection", traffic: aliases, connections: 1, overSync: overSync},
	{name: "alias, 32 connections", traffic: aliases, connections: 32, ofEmpty: ofEmptyAt32},
	{name: "alias, 256 connections", traffic: aliases, connections: 256, ofEmpty: ofEmptyAt256},
}

// options are the flags.
type options struct {
	harness.Program
	profile, dir, chart          string
	latencies                    durations
	target, writeKey, sink       string
	beside                       string
	duration, drain              time.Duration
	deliveries, calls, mebibytes int
	facts                        int // of each destination
}

// The short form goes through everything, in little.
const (
	shortDuration   = 400 * time.Millisecond
	shortDeliveries = 5_000
	shortCalls      = 10_000
	shortMebibytes  = 4
	shortFacts      = 2_000
)

// roles are the processes that a benchmark starts from its own program.
var roles = map[string]func(args []string) error{"empty": serveEmpty, "sink": serveSink, "client": runClient}

func main() {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		if err := roles[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "bench %s: %v\n", os.Args[1], err)
			os.Exit(1)
		}
		return
	}
	os.Exit(run())
}

func run() int {
	var o options
	o.Flags(harness.Names(scenarios))
	flag.StringVar(&o.beside, "beside", "", "another aka to measure in turn with this one: each row is followed by the other's and by their ratio")
	flag.DurationVar(&o.duration, "for", 4*time.Second, "how long each rate is measured")
	flag.IntVar(&o.deliveries, "deliveries", 100_000, "how many deliveries are measured, over all destinations")
	flag.IntVar(&o.calls, "calls", 1_000_000, "how many calls are the largest backlog")
	flag.IntVar(&o.mebibytes, "mib", 1024, "how many MiB of calls the scenario disk sends in batches")
	flag.IntVar(&o.facts, "facts", 1_000_000, "how many ids each destination of the scenario facts remembers")
	flag.DurationVar(&o.drain, "drain", 30*time.Second, "how long a backlog is delivered at most; 0 is until the end")
	o.latencies = durations{20 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond}
	flag.Var(&o.latencies, "latency", "how long the vendors of the scenarios latency take to answer, with commas between")
	flag.StringVar(&o.chart, "chart", "", "a file for a chart of the scenarios latency, as SVG")
	flag.StringVar(&o.profile, "profile", "", "a folder for profiles of aka, which cost it some 10 %; an -aka must have been built with -tags profile")
	flag.StringVar(&o.dir, "dir", "", "where the data goes, in a folder that is removed afterwards (default: the system's temporary folder)")
	flag.StringVar(&o.target, "target", "", "measure the server at this http URL, which runs already, and no aka")
	flag.StringVar(&o.writeKey, "write-key", harness.WriteKey, "what calls identify themselves with at a -target")
	flag.StringVar(&o.sink, "sink", "127.0.0.1:9910", "where the -target must deliver to: this address, and the path /"+targetAccount)
	flag.Parse()
	if o.Short {
		o.duration, o.deliveries, o.calls, o.mebibytes, o.facts = shortDuration, shortDeliveries, shortCalls, shortMebibytes, shortFacts
		o.latencies = o.latencies[:1]
	}
	chosen, err := o.choose()
	if err != nil || flag.NArg() > 0 || o.duration <= 0 || o.deliveries < 1 || o.calls < 1 || o.mebibytes < 1 || o.facts < 2 {
		fmt.Fprintln(os.Stderr, "bench:", errors.Join(err, errors.New("see -help")))
		return 2
	}
	return o.Main(o.dir, func() (ok bool, err error) {
		if o.target == "" {
			if err := o.Build(o.buildFlags()...); err != nil {
				return false, err
			}
		}
		r := newReport()
		o.measure(chosen, r)
		r.write(os.Stdout)
		return len(r.Wrong) == 0, errors.Join(o.WriteJSON(r), r.writeChart(o.chart))
	})
}

// choose returns the scenarios that are asked for.
func (o *options) choose() ([]scenario, error) {
	switch {
	case o.beside != "" && (o.target != "" || o.profile != ""):
		return nil, errors.New("-beside goes with neither -target nor -profile")
	case o.target != "":
		return []scenario{{Name: "target", Does: o.target, Run: target}}, nil
	}
	return harness.Choose(scenarios, o.Only, o.Short)
}

// buildFlags are those of what is shipped, but for the symbols that profiles need. The short form measures nothing, and has what other
// builds have compiled.
func (o *options) buildFlags() []string {
	switch {
	case o.profile != "":
		return []string{"-trimpath", "-tags", "profile"}
	case o.Short:
		return nil
	}
	return []string{"-trimpath"}
}

// measure runs the scenarios, each with the other binary first where there is one.
func (o *options) measure(chosen []scenario, r *Report) {
	if o.beside != "" {
		r.Beside = newReport()
		r.Beside.Aka = o.beside
	}
	for _, s := range chosen {
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.Name, s.Does)
		if r.Beside != nil {
			o.measureOne(s, o.beside, r.Beside)
		}
		o.measureOne(s, o.Binary, r)
		if o.Ctx.Err() != nil {
			return // what was measured until then is shown
		}
	}
}

// bench is a scenario as it runs.
type bench struct {
	*harness.Case
	*options
	binary string
	report *Report
}

// timeout bounds a scenario, on any machine.
const timeout = time.Hour

func (o *options) measureOne(s scenario, binary string, r *Report) {
	ctx, cancel := context.WithTimeout(o.Ctx, timeout)
	defer cancel()
	c := harness.RunCase(ctx, o.Dir, func(c *harness.Case) { s.Run(&bench{c, o, binary, r}) })
	for _, wrong := range c.Failures {
		r.Wrong = append(r.Wrong, s.Name+": "+wrong)
	}
	for _, note := range c.Notes {
		fmt.Fprintln(os.Stderr, note)
	}
}

// parse reads a server's URL, and has the write key be its user.
func (b *bench) parse(text string) *url.URL {
	base, err := url.Parse(text)
	harness.Check(b, err)
	base.User = url.User(b.writeKey)
	return base
}
