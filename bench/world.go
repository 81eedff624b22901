package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"aka/e2e/harness"
)

// vendorTypes are the types in the order in which destinations get them. All take an alias.
var vendorTypes = []harness.Destination{
	{Vendor: "vero", Settings: "auth_token: bench"},
	{Vendor: "kissmetrics", Settings: "api_key: bench"},
	{Vendor: "mixpanel", Settings: "token: bench, id_merge: original, alias_strategy: create_alias"},
}

// importing is a destination that sends tracks in batches.
var importing = vendorTypes[2]

// world is an aka with its journal, and the sink that it sends to; or another server, and its sink.
type world struct {
	*harness.World
	b     *bench
	setup setup
	sink  *child
	// address is where the sink listens, or has.
	address string
	base    *url.URL // of the server
	pprof   string
	trust   string // a file with the certificate of vendors that speak https, or ""
}

// setup is what a world is like.
type setup struct {
	destinations int
	// of is what all of them are; nil is each type in turn.
	of *harness.Destination
	// shapes are how the first of them behave, and bare how the sink does to the bare client. The others answer at once.
	shapes []shape
	bare   shape
	// mixed says that people do what they do in mixed traffic, and not an alias alone.
	mixed bool
	// workload is what each person does where that is neither.
	workload string
	// chain is how many calls each failing person has. The vendors refuse them until they recover; 0 is for none.
	chain int
	// scheme has vendors be reached at an entrance that speaks http or https; "" is none.
	scheme string
	// ofBare is the goal of a delivery's processors' time by the bare client's; 0 is none.
	ofBare float64
	// device says that the calls of mixed traffic are those of browsers.
	device bool
	// delivery, journal and source are more of the config's sections, as YAML's key: value. More is more of the config, and of each
	// destination, with a comma behind.
	delivery, journal, source, more, destination string
}

// newWorld starts the sink and writes a config.
func newWorld(b *bench, s setup) *world {
	var all []harness.Destination
	for i := range s.destinations {
		d := vendorTypes[i%len(vendorTypes)]
		if s.of != nil {
			d = *s.of
		}
		d.More = s.destination
		d.Name = fmt.Sprintf("%s-%d", d.Vendor, i)
		all = append(all, d)
	}
	return newWorldOf(b, s, all, "127.0.0.1:0")
}

// newWorldOf is newWorld with these destinations, and the sink at an address.
func newWorldOf(b *bench, s setup, all []harness.Destination, address string) *world {
	w := &world{b: b, setup: s, address: address}
	w.startSink(all)
	vendors := w.sink.said
	if s.scheme != "" {
		vendors = w.entrance().URL
	}
	for i := range all {
		all[i].Endpoint = vendors + "/" + all[i].Name
	}
	w.World = harness.NewWorld(b, harness.Setup{Binary: b.binary, Env: w.env(), Destinations: all, Delivery: s.delivery, Journal: s.journal, Source: s.source, More: s.more})
	w.Poll = 20 * time.Millisecond
	return w
}

// startWorld starts aka in it too.
func startWorld(b *bench, s setup) *world {
	w := newWorld(b, s)
	w.start()
	return w
}

// startSink starts the vendors, with an account "bare" beside the destinations' own.
func (w *world) startSink(all []harness.Destination) {
	args := []string{"-listen", w.address}
	switch {
	case w.setup.workload != "":
		args = append(args, "-workload", w.setup.workload)
	case w.setup.mixed:
		args = append(args, "-workload", "mixed")
	}
	if w.setup.scheme != "" {
		w.trust = filepath.Join(w.b.TempDir(), "vendors.pem")
		args = append(args, "-entrance", w.setup.scheme, "-trust", w.trust)
	}
	if w.setup.chain > 0 {
		args = append(args, "-chain", strconv.Itoa(w.setup.chain))
	}
	for i, d := range all {
		name := d.Name
		if i < len(w.setup.shapes) {
			name += "=" + w.setup.shapes[i].String()
		}
		args = append(args, name)
	}
	w.sink = startChild(w.b, "sink", append(args, bareAccount+"="+w.setup.bare.String())...)
	w.address = strings.TrimPrefix(w.sink.said, "http://")
}

// close ends a world before the scenario does.
func (w *world) close() {
	w.Kill()
	w.sink.stop()
	_ = os.RemoveAll(w.Dir)
}

// start starts aka and returns how long that took.
func (w *world) start() (took time.Duration) {
	if w.b.profile != "" {
		address, err := freeAddress()
		harness.Check(w, err)
		w.pprof, w.Env = address, append(w.env(), "AKA_PROFILE="+address)
	}
	took = w.Start()
	w.base = w.API()
	return took
}

// env is what aka needs to trust the vendors.
func (w *world) env() []string {
	if w.trust == "" {
		return nil
	}
	return []string{"SSL_CERT_FILE=" + w.trust, "SSL_CERT_DIR=" + filepath.Dir(w.trust)}
}

// entrance asks the sink what was opened at its entrance.
func (w *world) entrance() (report entranceReport) {
	text, err := fetch(w.b.Context(), w.sink.said+"/entrance")
	harness.Check(w.b, err)
	harness.Check(w.b, json.Unmarshal(text, &report))
	return report
}

func (w *world) cpu() time.Duration { return cpu(w, w.Process.PID()) }

func (w *world) memory() harness.Resident {
	memory, err := harness.Memory(w.Process.PID())
	harness.Check(w, err)
	return memory
}

func (w *world) folderBytes() int64 {
	bytes, err := harness.FolderBytes(w.JournalDir)
	harness.Check(w, err)
	return bytes
}

// load is one with the world's own people, as many as most.
func (w *world) load(t harness.Traffic, connections int, most int64) *harness.Load {
	return &harness.Load{Traffic: []harness.Traffic{t}, Connections: connections, Next: &w.People, MaxPeople: most}
}

func (w *world) run(l *harness.Load) *harness.Measured {
	m, err := l.Run(w.Ctx, w.base.Host)
	w.Must(err)
	return m
}

// untilEnded waits until every call has ended, as aka says. It asks seldom: to return all its metrics costs aka time.
func (w *world) untilEnded() {
	asked := time.Time{}
	w.Until("every call has ended", func() bool {
		if time.Since(asked) < 250*time.Millisecond {
			return false
		}
		asked = time.Now()
		return w.Metric("aka_backlog_calls") == 0
	})
}

// untilDelivered waits until the sink has so much.
func (w *world) untilDelivered(deliveries int) {
	w.Until("everything is delivered", func() bool { return w.delivered() >= deliveries })
}

// delivered is how much the sink has got, over all destinations.
func (w *world) delivered() (n int) {
	for _, a := range w.askAll(0) {
		n += a.Delivered
	}
	return n
}

// ask asks the sink about an account. With a number of people it tells all it knows.
func (w *world) ask(name string, people int64) (report accountReport) {
	text, err := fetch(w.Ctx, fmt.Sprintf("%s/report?account=%s&people=%d", w.sink.said, name, people))
	harness.Check(w, err)
	harness.Check(w, json.Unmarshal(text, &report))
	return report
}

// askAll asks about every destination.
func (w *world) askAll(people int64) (all []accountReport) {
	for _, d := range w.Destinations {
		all = append(all, w.ask(d.Name, people))
	}
	return all
}

// verify compares what the sink got with what was answered 200: all calls of the first so many people. With none, all may still
// be on its way.
func (w *world) verify(people int64) []accountReport {
	all, r := w.askAll(people), w.b.report
	for i, a := range all {
		r.Lost += a.Lost
		r.Swapped += a.Swapped
		r.Repeated += a.Repeated
		if a.Lost+a.Swapped+a.Repeated+a.Unknown > 0 {
			w.Errorf("%s: %d lost, %d out of order, %d delivered twice, %d of no sent call", w.Destinations[i].Name, a.Lost, a.Swapped, a.Repeated, a.Unknown)
		}
	}
	return all
}
