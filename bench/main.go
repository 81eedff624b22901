// Command bench measures the aka that is shipped, and in the same run what the machine could do at best:
//
//	go run ./bench                              everything; see docs/performance.md
//	go run ./bench -only accept -for 10s
//	go run ./bench -only deliver-3 -aka ./aka -profile /tmp/profiles
//	go run ./bench -beside ./older/aka
//
// Aka, the vendors that it sends to, and what it is compared with are processes of their own, on loopback; the calls come from
// this one. What is wrong (lost, out of order, delivered twice) makes the exit code 1; being slow never does.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"aka/e2e/harness"
)

// scenario is one thing that is measured.
type scenario struct {
	name, does string
	run        func(b *bench, r *Report) error
	// asked leaves it out where no scenario is named, unless in the short form: it takes minutes.
	asked bool
}

// scenarios are all there are, in the order in which they run.
var scenarios = []scenario{
	{name: "accept-single", does: "single aliases that no destination wants, kept and read", run: accept(singleAliases...)},
	{name: "accept-mixed", does: "mixed traffic, one call per request", run: accept(work{"mixed, 256 connections", mixed, 256})},
	{name: "accept-batch", does: "batches of a hundred calls", run: accept(
		work{"alias batches, 32 connections", aliasBatches, 32}, work{"mixed batches, 32 connections", mixedBatches, 32},
		work{"mixed batches, gzip, 32 connections", zippedBatches, 32})},
	{name: "accept-10", does: "aliases that one destination reads, and that ten do", run: acceptTen},
	{name: "deliver-1", does: "aliases to one destination that takes one call per request", run: deliver("alias, 1 destination", setup{destinations: 1})},
	{name: "deliver-3", does: "aliases to three destinations", run: deliver("alias, 3 destinations", setup{destinations: 3})},
	{name: "deliver-10", does: "aliases to ten destinations", run: deliver("alias, 10 destinations", setup{destinations: 10})},
	{name: "deliver-mixed", does: "mixed traffic to three destinations, one of which takes batches", run: deliver("mixed, 3 destinations", setup{destinations: 3, mixed: true})},
	{name: "lag", does: "from being accepted to being at the vendor, none of them slow", run: lag("all fast", 1000, setup{destinations: 3, mixed: true})},
	{name: "lag-slow", does: "the same where one vendor takes a while and another long", run: lag("some slow", 200,
		setup{destinations: 3, mixed: true, delays: []time.Duration{0, 20 * time.Millisecond, 500 * time.Millisecond}})},
	{name: "start", does: "an aka that has nothing", run: start},
	{name: "backlog-small", does: "a hundredth of the backlog", run: backlog(func(b *bench) int { return b.calls / 100 })},
	{name: "backlog-medium", does: "a tenth of it", run: backlog(func(b *bench) int { return b.calls / 10 })},
	{name: "backlog-large", does: "calls that wait for vendors that are away", run: backlog(func(b *bench) int { return b.calls })},
	{name: "start-large", does: "an aka that has ten times the backlog", run: startLarge, asked: true},
	{name: "disk", does: "what is written to the disk until calls are delivered, and what stays there", run: disk},
}

var singleAliases = []work{
	{"alias, 1 connection", aliases, 1}, {"alias, 32 connections", aliases, 32}, {"alias, 256 connections", aliases, 256},
}

// options are the flags.
type options struct {
	only, aka, profile, json, dir string
	target, writeKey, sink        string
	beside                        string
	duration, drain               time.Duration
	deliveries, calls, mebibytes  int
	short                         bool
}

// The short form goes through everything, in little.
const (
	shortDuration   = 400 * time.Millisecond
	shortDeliveries = 5_000
	shortCalls      = 10_000
	shortMebibytes  = 4
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
	flag.StringVar(&o.only, "only", "", "the scenarios to run, with commas between: "+strings.Join(names(), ", "))
	flag.StringVar(&o.aka, "aka", "", "the aka to run (default: the one whose source this is)")
	flag.StringVar(&o.beside, "beside", "", "another aka to measure in turn with this one: each row is followed by the other's and by their ratio")
	flag.DurationVar(&o.duration, "for", 4*time.Second, "how long each rate is measured")
	flag.IntVar(&o.deliveries, "deliveries", 100_000, "how many deliveries are measured, over all destinations")
	flag.IntVar(&o.calls, "calls", 1_000_000, "how many calls are the largest backlog")
	flag.IntVar(&o.mebibytes, "mib", 1024, "how many MiB of calls the scenario disk sends in batches")
	flag.DurationVar(&o.drain, "drain", 30*time.Second, "how long a backlog is delivered at most; 0 is until the end")
	flag.StringVar(&o.profile, "profile", "", "a folder for profiles of aka, which cost it some 10 %; an -aka must have been built with -tags profile")
	flag.StringVar(&o.json, "json", "", "a file to write the results to, as JSON")
	flag.StringVar(&o.dir, "dir", "", "where the data goes, in a folder that is removed afterwards (default: the system's temporary folder)")
	flag.StringVar(&o.target, "target", "", "measure the server at this http URL, which runs already, and no aka")
	flag.StringVar(&o.writeKey, "write-key", "bench-write-key", "what calls identify themselves with")
	flag.StringVar(&o.sink, "sink", "127.0.0.1:9910", "where the -target must deliver to: this address, and the path /"+targetAccount)
	flag.BoolVar(&o.short, "short", false, "the short form, under a minute: for what is wrong, not for figures")
	flag.Parse()
	if o.short {
		o.duration, o.deliveries, o.calls, o.mebibytes = shortDuration, shortDeliveries, shortCalls, shortMebibytes
	}
	chosen, err := o.choose()
	if err != nil || flag.NArg() > 0 || o.duration <= 0 || o.deliveries < 1 || o.calls < 1 || o.mebibytes < 1 {
		fmt.Fprintln(os.Stderr, "bench:", errors.Join(err, errors.New("see -help")))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := newReport()
	if err := runAll(ctx, o, chosen, r); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	if len(r.Wrong) > 0 {
		return 1
	}
	return 0
}

func names() []string {
	all := make([]string, len(scenarios))
	for i, s := range scenarios {
		all[i] = s.name
	}
	return all
}

// choose returns the scenarios that are asked for. What is no scenario's name stands for all that begin so.
func (o *options) choose() (chosen []scenario, err error) {
	switch {
	case o.beside != "" && (o.target != "" || o.profile != ""):
		return nil, errors.New("-beside goes with neither -target nor -profile")
	case o.target != "":
		return []scenario{{name: "target", does: o.target, run: target}}, nil
	case o.only == "":
		for _, s := range scenarios {
			if !s.asked || o.short {
				chosen = append(chosen, s)
			}
		}
		return chosen, nil
	}
	for _, name := range strings.Split(o.only, ",") {
		before := len(chosen)
		exact := slices.Contains(names(), name)
		for _, s := range scenarios {
			if s.name == name || !exact && strings.HasPrefix(s.name, name) {
				chosen = append(chosen, s)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("-only: there is no scenario %q", name)
		}
	}
	return chosen, nil
}

// bench is what all scenarios share.
type bench struct {
	options
	ctx    context.Context
	dir    string // everything is below it
	binary string
}

func runAll(ctx context.Context, o options, chosen []scenario, r *Report) error {
	dir, err := os.MkdirTemp(o.dir, "aka-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	writeKey = o.writeKey
	b := &bench{options: o, ctx: ctx, dir: dir, binary: cmp.Or(o.aka, filepath.Join(dir, "aka"))}
	if o.aka == "" && o.target == "" {
		if err := harness.BuildHere(b.binary, b.buildFlags()...); err != nil {
			return err
		}
	}
	failed := b.measure(chosen, r) // what was measured until then is shown
	r.write(os.Stdout)
	if o.json != "" {
		failed = errors.Join(failed, r.writeJSON(o.json))
	}
	return failed
}

// measure runs the scenarios, each with the other binary first where there is one.
func (b *bench) measure(chosen []scenario, r *Report) error {
	other := *b
	if b.beside != "" {
		other.binary = b.beside
		r.Beside = newReport()
		r.Beside.Aka = b.beside
	}
	for _, s := range chosen {
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, s.does)
		if r.Beside != nil {
			if err := s.run(&other, r.Beside); err != nil {
				return fmt.Errorf("%s: %s: %w", b.beside, s.name, err)
			}
		}
		if err := s.run(b, r); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// buildFlags are those of what is shipped, but for the symbols that profiles need.
func (o *options) buildFlags() []string {
	if o.profile != "" {
		return []string{"-trimpath", "-tags", "profile"}
	}
	return []string{"-trimpath"}
}
