// Package preflight says who would be one person at each vendor, and who wrongly, before anything is sent. It reads an export of
// calls and runs it through what a running aka has: the parser, the order, the guard, the translators, the memory and the rules of
// merges. The requests go to the simulated vendors, in this process: no network and no journal.
//
// Calls that share no id never meet, neither at a vendor nor in the memory; an e-mail among the traits is one, where a vendor joins people
// by it. So the calls are sorted first, and then split into parts by the ids that they share. A part has its own simulated vendors, and two parts run at once. What does not fit into memory is in a
// temporary folder meanwhile.
package preflight

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"aka/destinations/adapter"
	"aka/destinations/simulator"
	"aka/router/config"
	"aka/router/journal"
	"aka/router/segment"
)

// Input is a file of calls.
type Input struct {
	// Name is what the report calls it.
	Name string
	// Open opens it. It is called once.
	Open func() (io.ReadCloser, error)
	// Entries, where it is set, gives the calls instead, in the order in which aka accepted them.
	Entries func(ctx context.Context, visit func(*journal.Entry) error) error
}

// Options change how an export is read and shown.
type Options struct {
	// Source is the name of the source of the calls that name none by their write key. Default: the only one.
	Source string
	// AsIs keeps the order of the files and lines.
	AsIs bool
	// Cases is how many cases of each finding the report shows. Default 20.
	Cases int
	// Folder makes the temporary folder, once it is needed. Default: one in os.TempDir.
	Folder func() (string, error)
	// Progress is called from time to time; nil is not at all.
	Progress func(Progress)
	// Now is the time of the run, for calls that say none. Default time.Now.
	Now time.Time
}

// Progress is how far a run has come.
type Progress struct {
	// Stage is read or run.
	Stage string
	// Calls is how many calls the stage has done, of All where that is known.
	Calls, All int
}

func (o Options) withDefaults() Options {
	if o.Cases <= 0 {
		o.Cases = 20
	}
	if o.Folder == nil {
		o.Folder = func() (string, error) { return os.MkdirTemp("", "aka-preflight-") }
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	o.Now = o.Now.Round(0).UTC()
	return o
}

// Endpoint is config.LoadOptions.Simulate of a preflight: the configs of Run are loaded with it.
func Endpoint(name, vendorType string, _ *yaml.Node) (string, error) {
	return simulator.EndpointOf(name, vendorType), nil
}

// Run reads the inputs and reports on them. Where too much of them is unreadable, the report says so, and nothing else: see
// Report.Unusable.
func Run(ctx context.Context, c *config.Config, inputs []Input, o Options) (*Report, error) {
	return newPreflight(c, o).do(ctx, inputs)
}

func newPreflight(c *config.Config, o Options) *preflight {
	o = o.withDefaults()
	return &preflight{config: c, options: o, disk: newDisk(o.Folder), report: newReport(c), partCalls: partCalls}
}

func (r *preflight) do(ctx context.Context, inputs []Input) (*Report, error) {
	defer r.disk.remove()
	sorted, err := r.read(ctx, inputs)
	if err != nil || r.report.Unusable() {
		return r.report, err
	}
	parts, err := r.split(ctx, sorted)
	if err != nil {
		return nil, err
	}
	if err := r.run(ctx, parts); err != nil {
		return nil, err
	}
	r.report.finish(r.options.Cases)
	return r.report, nil
}

// preflight is one run.
type preflight struct {
	config  *config.Config
	options Options
	disk    *disk
	report  *Report
	ids     components
	guard   recentGuard
	names   []string // of the inputs
	// partCalls is how many calls a part has, about.
	partCalls int
	// people gets the people that each destination of each part has in the end; nil in all but tests.
	people func(destination string, people simulator.Graph)
}

// read takes all calls into a sorter.
func (r *preflight) read(ctx context.Context, inputs []Input) (*sorter, error) {
	sorted := newSorter(r.disk, r.options.AsIs)
	in := newReader(r.config, r.options)
	byEmail := r.joinsByEmail()
	var ids [4]string
	in.take = func(key int64, at place, e *journal.Entry) error {
		joined := r.joining(e, &ids)
		if byEmail {
			if email := emailOf(e); email != "" && !r.guard.blocks(email) {
				joined = append(joined, email)
			}
		}
		r.ids.join(joined)
		return sorted.add(key, at, e)
	}
	for _, input := range inputs {
		r.names = append(r.names, input.Name)
		if err := in.read(ctx, len(r.names)-1, input); err != nil {
			return nil, err
		}
	}
	r.report.names = r.names
	r.report.Input = in.found
	return sorted, sorted.end()
}

// joining returns the ids by which a call meets others: all but placeholders, which get to no vendor and would join all people. They
// are without case, as e-mails are at Customer.io.
func (r *preflight) joining(e *journal.Entry, into *[4]string) []string {
	all := e.IDs(into[:0])
	ids := slices.DeleteFunc(all, r.guard.blocks)
	if len(ids) == 0 {
		ids = e.IDs(into[:0])[:1]
	}
	for i := range ids {
		ids[i] = strings.ToLower(ids[i])
	}
	return ids
}

// joinsByEmail reports whether a destination may join people by an e-mail among their traits.
func (r *preflight) joinsByEmail() bool {
	return slices.ContainsFunc(destinationsOf(r.config), func(d *config.Destination) bool { return d.Type == "customerio" || d.Type == "http" })
}

// emailOf returns the e-mail of an identify, without case, or "".
func emailOf(e *journal.Entry) string {
	if e.Type != segment.Identify {
		return ""
	}
	call, err := e.Decode()
	if err != nil {
		return ""
	}
	return strings.ToLower(adapter.Text(adapter.PersonTraits(call)["email"]))
}

// recentGuard is the guard without a config. It remembers some of the ids that it was asked about last.
type recentGuard struct {
	slots [1 << 12]struct {
		id     string
		blocks bool
	}
}

func (g *recentGuard) blocks(id string) bool {
	slot := &g.slots[hashOf(id)%uint64(len(g.slots))]
	if slot.id != id {
		slot.id, slot.blocks = id, placeholders.Blocks(id)
	}
	return slot.blocks
}

// partCalls is how many calls a part has unless a test says otherwise, and maxParts bounds the parts: each has a buffer while the calls
// are split.
const (
	partCalls = 20_000
	maxParts  = 256
)

// split puts the calls in their order, and each with those that it shares ids with.
func (r *preflight) split(ctx context.Context, sorted *sorter) ([]*blocks, error) {
	parts := make([]*blocks, min(1+sorted.calls/r.partCalls, maxParts))
	for i := range parts {
		parts[i] = newBlocks(r.disk)
	}
	ordered := newDeviceOrder(func(at place, e *journal.Entry) error {
		var ids [4]string
		part := r.ids.of(r.joining(e, &ids)[0]) % uint64(len(parts))
		return parts[part].add(at, e)
	})
	err := sorted.each(func(at place, e *journal.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return ordered.add(at, e)
	})
	if err != nil {
		return nil, err
	}
	if err := ordered.end(); err != nil {
		return nil, err
	}
	r.ids = components{} // their memory is free for the run
	for _, part := range parts {
		if err := part.end(); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// run runs the parts, some at once, and takes their results into the report in the order of the parts.
func (r *preflight) run(ctx context.Context, parts []*blocks) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type ended struct {
		result *partResult
		err    error
	}
	results := make([]chan ended, len(parts))
	for i := range results {
		results[i] = make(chan ended, 1)
	}
	workers := make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))
	go func() {
		for i, part := range parts {
			workers <- struct{}{}
			go func() {
				result, err := r.runPart(ctx, part)
				<-workers
				results[i] <- ended{result, err}
			}()
		}
	}()
	done := 0
	var failed error
	for i := range results {
		e := <-results[i]
		if e.err != nil {
			failed = e.err
			cancel()
		}
		if failed != nil {
			continue // the others end by ctx
		}
		r.report.add(e.result)
		done += e.result.calls
		r.options.Progress(Progress{"run", done, r.report.Input.Calls})
	}
	return failed
}

// runPart runs the calls of one part.
func (r *preflight) runPart(ctx context.Context, calls *blocks) (*partResult, error) {
	p, err := newPart(r)
	if err != nil {
		return nil, err
	}
	err = calls.each(func(at place, e *journal.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return p.take(at, e)
	})
	if err != nil {
		return nil, fmt.Errorf("run the calls: %w", err)
	}
	return p.end(), nil
}
