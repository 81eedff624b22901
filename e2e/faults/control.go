package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// controlScenarios are those in which nothing fails: an operator changes what runs while calls come.
var controlScenarios = []scenario{
	{Name: "reload", Does: "destinations, sources and rates change again and again under load, by good configs and bad ones", Run: reloads},
	{Name: "reload-sigkill", Does: "aka is killed while it reloads, pauses, resumes and forgets", Run: reloadsKilled},
	{Name: "pause", Does: "destinations are paused and resumed under load, over restarts too", Run: pauses},
	{Name: "forget", Does: "a destination leaves with a backlog, is forgotten, and comes again as a new one", Run: forgets},
	{Name: "drain", Does: "aka is drained under load, which is called off, and then to its end", Run: drains},
}

// temporary is a destination that comes and goes. It is a vendor's like the one that is there throughout.
const temporary = "temporary"

// fixture is a world whose config changes while it runs.
type fixture struct {
	*world
	slow       []simulator.Fault
	membership membership // of the temporary destination
}

// startFixture starts aka with the temporary destination, and vendors that take a moment, so that there is always something in
// flight.
func startFixture(t *trial) *fixture {
	f := &fixture{world: newWorld(t, harness.Setup{Delivery: quick, Destinations: append(harness.Vendors(),
		harness.Destination{Name: temporary, Vendor: "vero", Settings: "auth_token: s3cret-token"})})}
	f.slow = f.slowVendors()
	f.start()
	return f
}

// vendors are the names of the destinations that are there throughout.
func (f *fixture) vendors() []string { return f.others(temporary) }

// include has the config name the temporary destination from its next writing on, or not.
func (f *fixture) include(in bool) { f.Destination(temporary).Omitted = !in }

func (f *fixture) included() bool { return !f.Destination(temporary).Omitted }

// start starts aka. The temporary destination is there or not from then on.
func (f *fixture) start() {
	f.Start()
	f.settled()
}

// settled notes that aka uses the config as it is written.
func (f *fixture) settled() { f.membership.begin(f.included(), time.Now()) }

// reload writes the config and has aka go by it. In between it is not known whether the temporary destination is there, if that
// changes.
func (f *fixture) reload() error {
	if f.membership.in != f.included() {
		f.membership.end(time.Now())
	}
	f.Configure()
	err := f.control(http.MethodPost, "/reload", http.StatusOK)
	if err == nil {
		f.settled()
	}
	return err
}

// errAnswer says that the admin server has answered something else.
var errAnswer = errors.New("the admin server answered")

// control asks the admin server to do something.
func (f *fixture) control(method, path string, want int) error {
	status, answer, err := f.admin(method, path)
	if err == nil && status != want {
		err = fmt.Errorf("%w %d to %s %s, not %d: %s", errAnswer, status, method, path, want, strings.TrimSpace(answer))
	}
	return err
}

func (f *fixture) pause(name string) error {
	return f.control(http.MethodPost, "/destinations/"+name+"/pause", http.StatusOK)
}
func (f *fixture) resume(name string) error {
	return f.control(http.MethodPost, "/destinations/"+name+"/resume", http.StatusOK)
}
func (f *fixture) forget(name string) error {
	return f.control(http.MethodDelete, "/destinations/"+name, http.StatusOK)
}

// moment is a short random time.
func (t *trial) moment() time.Duration {
	return time.Duration(t.dice.Int64N(int64(300 * time.Millisecond)))
}

// rewrite changes the config in one of the ways that need no restart.
func (f *fixture) rewrite() {
	dice := f.t.dice
	switch dice.IntN(5) {
	case 0: // all are replaced
		f.Delivery = fmt.Sprintf("%s, window: %d", quick, 5000+dice.IntN(5000))
	case 1: // one is
		for _, name := range f.vendors() {
			f.Destination(name).Delivery = ""
		}
		f.Destination(f.anyVendor()).Delivery = fmt.Sprintf("concurrency: %d", 1+dice.IntN(8))
	case 2: // another source, and its rate
		f.Sources = fmt.Sprintf(", other: { write_key: other-key-%d, rate: %d }", dice.IntN(100), 1+dice.IntN(100))
	case 3: // the source's own, above what it needs
		f.Source = fmt.Sprintf("rate: %d", 100_000+dice.IntN(1000))
	default:
		f.include(!f.included())
	}
}

func (f *fixture) anyVendor() string {
	all := f.vendors()
	return all[f.t.dice.IntN(len(all))]
}

func reloads(t *trial) {
	f := startFixture(t)
	l := f.startLoad()
	slowest := time.Duration(0)
	for range 2 * t.runs {
		f.runFor(l, t.moment())
		f.refuseBad()
		f.rewrite()
		begin := time.Now()
		f.Must(f.reload())
		slowest = max(slowest, time.Since(begin))
		for range t.dice.IntN(4) { // again, faster than it can
			harness.Check(t, f.Process.Signal(syscall.SIGHUP))
		}
		t.Runs++
	}
	t.Logf("the slowest reload took %s", slowest.Round(time.Millisecond))
	f.finish(l, harness.Expectation{Slow: f.slow})
}

// refuseBad has aka go by a config that is none, which it must refuse.
func (f *fixture) refuseBad() {
	good := f.Delivery
	f.Delivery += ", concurency: 3"
	f.Configure()
	f.Delivery = good
	err := f.control(http.MethodPost, "/reload", http.StatusUnprocessableEntity)
	if errors.Is(err, errAnswer) {
		f.Errorf("a bad config: %v", err)
		return
	}
	harness.Check(f, err)
}

// finish has the temporary destination be there, waits until all is delivered to it, and verifies what everybody got.
func (f *fixture) finish(l *harness.Load, e harness.Expectation) {
	f.include(true)
	f.Must(f.reload())
	f.End(l)
	f.UntilAllEnded(temporary)
	f.membership.end(time.Now())
	f.verifyTemporary(l, e)
	f.Destinations = f.Destinations[:len(f.Destinations)-1] // the others have to have everything
	f.verify(l, e)
}

func (f *fixture) verifyTemporary(l *harness.Load, e harness.Expectation) {
	all, acks := f.Deliveries(temporary, e), l.Acks()
	expected, unexpected := withoutRefused(f.membership.expected(acks), all, f.DeadLetters()[temporary]), f.membership.unexpected(acks)
	f.Logf("the temporary destination was there for %d calls, and not for %d; it got %d", len(expected), len(unexpected), len(all))
	f.t.Lost += f.VerifyNoneMissing(temporary, all, expected)
	f.t.Swapped += f.VerifyOrder(temporary, complete(all), e.Crashes)
	for _, d := range all {
		if unexpected[d.Step] {
			f.Errorf("%s got %s, which was accepted while it was not there", temporary, d.Step)
		}
	}
	repeated, _ := f.VerifyRepeats(temporary, harness.Repeats(all), e)
	f.t.Repeated += repeated
}

// withoutRefused leaves out of the expected steps those that the vendor may refuse: dead letters, and the alias of a person of which nothing
// before it was delivered. To the vendor there is no such person.
func withoutRefused(expected []harness.Step, all []harness.Delivery, dead harness.StepSet) []harness.Step {
	known := map[int]bool{}
	for _, d := range all {
		known[d.Person] = known[d.Person] || d.Index < harness.Basic.AliasStep()
	}
	return slices.DeleteFunc(expected, func(s harness.Step) bool {
		return dead[s] || s.Index == harness.Basic.AliasStep() && !known[s.Person]
	})
}

// complete leaves out the people of whose steps one is missing: without their alias nothing says that they are one, and what
// comes first.
func complete(all []harness.Delivery) (complete []harness.Delivery) {
	seen := map[harness.Step]bool{}
	count := map[int]int{}
	for _, d := range all {
		if !seen[d.Step] {
			seen[d.Step] = true
			count[d.Person]++
		}
	}
	for _, d := range all {
		if count[d.Person] == harness.Basic.Steps() {
			complete = append(complete, d)
		}
	}
	return complete
}

// membership is when a destination was in the config, and when not, as far as that is certain.
type membership struct {
	spans []span
	in    bool
	since time.Time // zero while it is not certain
}

type span struct {
	in         bool
	from, till time.Time
}

// begin notes that it is there from now on, or not.
func (m *membership) begin(in bool, now time.Time) {
	if !m.since.IsZero() && m.in == in {
		return
	}
	m.in, m.since = in, now
}

// end notes that it is not certain from now on.
func (m *membership) end(now time.Time) {
	if !m.since.IsZero() {
		m.spans = append(m.spans, span{m.in, m.since, now})
	}
	m.since = time.Time{}
}

// forgotten notes that what waits may be dropped from now on: what it should have had so far, it may never get.
func (m *membership) forgotten(now time.Time) {
	m.end(now)
	for i := range m.spans {
		if m.spans[i].in {
			m.spans[i].till = m.spans[i].from
		}
	}
}

// expected are the calls that were sent and answered while it was there.
func (m *membership) expected(acks []harness.Ack) (expected []harness.Step) {
	for _, a := range acks {
		if m.covers(a, true) {
			expected = append(expected, a.Step)
		}
	}
	return expected
}

// unexpected are those that were while it was not.
func (m *membership) unexpected(acks []harness.Ack) harness.StepSet {
	unexpected := harness.StepSet{}
	for _, a := range acks {
		if m.covers(a, false) {
			unexpected[a.Step] = true
		}
	}
	return unexpected
}

func (m *membership) covers(a harness.Ack, in bool) bool {
	for _, s := range m.spans {
		if s.in == in && !a.Began.Before(s.from) && !a.At.After(s.till) {
			return true
		}
	}
	return false
}

// reloadsKilled kills aka at random moments while an operator works on it.
func reloadsKilled(t *trial) {
	f := startFixture(t)
	stalls := f.WatchStalls()
	l := f.startLoad()
	var crashes []time.Time
	operations := 0
	for range t.runs {
		var killed atomic.Bool
		kill := time.AfterFunc(time.Duration(t.dice.Int64N(int64(time.Second))), func() {
			killed.Store(true)
			f.Kill()
		})
		for !killed.Load() {
			if err := f.operate(); err != nil && !killed.Load() {
				kill.Stop()
				f.Must(err)
			}
			operations++
		}
		<-f.Process.Exited
		crashes = append(crashes, f.Gone())
		f.start()
		f.Follow(l)
	}
	t.Runs = len(crashes)
	t.Logf("an operator did %d things", operations)
	f.include(true)
	f.Must(f.reload())
	for _, d := range f.Destinations {
		f.Must(f.resume(d.Name))
	}
	f.finish(l, harness.Expectation{Crashes: crashes, Repeatable: saved + 4*stalls(), Slow: f.slow})
}

// operate does one of the things that can be done to a running aka.
func (f *fixture) operate() error {
	name := f.anyVendor()
	switch f.t.dice.IntN(6) {
	case 0:
		if f.included() {
			return f.pause(temporary)
		}
		return f.pause(name)
	case 1:
		return f.resume(name)
	case 2:
		if f.membership.since.IsZero() || f.membership.in {
			return nil
		}
		f.membership.forgotten(time.Now())
		err := f.forget(temporary)
		if errors.Is(err, errAnswer) { // it was forgotten before
			err = nil
		}
		if err == nil {
			f.settled()
		}
		return err
	default:
		f.rewrite()
		return f.reload()
	}
}

// pauses pauses destinations and resumes them, some of them after a restart. Nothing may go to one that is paused.
func pauses(t *trial) {
	f := startFixture(t)
	l := f.startLoad()
	for i := range t.runs {
		name := f.anyVendor()
		f.Must(f.pause(name))
		f.Until("what is in flight has ended", func() bool { return f.Metric("aka_exchanges_in_flight", harness.Of(name)) == 0 })
		before := f.Account(name).Stats().Exchanges
		f.runFor(l, t.moment())
		if i%5 == 4 { // it outlives that, too
			f.Stop()
			f.start()
			f.Follow(l)
		}
		f.rewrite()
		f.Must(f.reload())
		f.runFor(l, t.moment())
		if n := f.Account(name).Stats().Exchanges - before; n > 0 {
			t.Errorf("%s was sent %d requests while it was paused", name, n)
		}
		f.Must(f.resume(name))
		t.Runs++
	}
	f.finish(l, harness.Expectation{Restarted: true, Slow: f.slow})
}

// forgets has the temporary destination leave with a backlog, forgets it, and has it come again. It gets nothing of what was
// before.
func forgets(t *trial) {
	f := startFixture(t)
	l := f.startLoad()
	for range t.runs {
		f.Must(f.pause(temporary))
		f.runFor(l, 100*time.Millisecond+t.moment())
		f.include(false)
		f.Must(f.reload())
		f.forgetBacklog(l)
		known := harness.StepSet{}
		for _, a := range l.Acks() {
			known[a.Step] = true
		}
		f.runFor(l, t.moment())
		had := len(f.Account(temporary).Exchanges())
		f.include(true)
		f.Must(f.reload())
		f.Until("the temporary destination, which has come again, gets something", func() bool {
			return len(f.Account(temporary).Exchanges()) > had
		})
		f.runFor(l, 100*time.Millisecond+t.moment())
		f.verifyNew(had, known)
		t.Runs++
	}
	f.finish(l, harness.Expectation{Slow: f.slow})
}

// forgetBacklog forgets the temporary destination, which has left with a backlog.
func (f *fixture) forgetBacklog(l *harness.Load) {
	waiting := f.Metric("aka_backlog_calls", harness.Of(temporary))
	before := f.Metric("aka_forgotten_calls_total")
	if waiting == 0 {
		f.Errorf("%s was paused under load, and has no backlog", temporary)
	}
	f.runFor(l, f.t.moment())
	f.Must(f.forget(temporary))
	f.membership.forgotten(time.Now())
	f.settled()
	if forgotten := f.Metric("aka_forgotten_calls_total") - before; forgotten != waiting {
		f.Errorf("%v calls waited for %s, and %v were forgotten", waiting, temporary, forgotten)
	}
}

// verifyNew checks that the temporary destination has got nothing that was known when it was forgotten, since it had so many
// exchanges.
func (f *fixture) verifyNew(had int, known harness.StepSet) {
	all, err := harness.Expectation{Slow: f.slow}.Deliveries(f.Account(temporary).Exchanges()[had:])
	harness.Check(f, err)
	for _, d := range all {
		if known[d.Step] {
			f.Errorf("%s got %s, which was accepted before it was forgotten", temporary, d.Step)
		}
	}
}

// drains drains aka under load. When it has ended, everything that was answered 200 is where it belongs.
func drains(t *trial) {
	f := startFixture(t)
	l := f.startLoad()
	for range max(1, t.runs/5) {
		f.runFor(l, 200*time.Millisecond+t.moment())
		f.callOff(l)
		f.drain()
		f.verifyDrained(l.Acks())
		t.Runs++
		f.start()
		f.Follow(l)
	}
	f.finish(l, harness.Expectation{Restarted: true, Slow: f.slow})
}

// callOff begins a drain that cannot end, until calls are refused, and takes calls again.
func (f *fixture) callOff(l *harness.Load) {
	f.Must(f.pause("vero"))
	f.UntilAcked(l, l.Acked.Load()+10) // so that something waits there
	f.Must(f.control(http.MethodPost, "/drain", http.StatusOK))
	refused := l.Refused.Load()
	f.Until("calls are refused", func() bool { return l.Refused.Load() > refused })
	f.Must(f.control(http.MethodDelete, "/drain", http.StatusOK))
	f.UntilAcked(l, l.Acked.Load()+10)
	f.Must(f.resume("vero"))
}

// drain waits until aka has ended by itself, which takes long where a busy machine has made a backlog.
func (f *fixture) drain() {
	f.Must(f.control(http.MethodPost, "/drain", http.StatusOK))
	select {
	case <-f.Process.Exited:
	case <-f.Ctx.Done():
		f.Must(f.Ctx.Err())
	}
	code, err := f.Process.Wait(harness.StopTimeout)
	f.Must(err)
	if code != 0 {
		f.Must(fmt.Errorf("aka has drained, and ended with the exit code %d", code))
	}
}

// verifyDrained checks that everything was delivered by a process that has ended.
func (f *fixture) verifyDrained(acks []harness.Ack) {
	for _, d := range f.Destinations {
		if lost := harness.Missing(f.Deliveries(d.Name, harness.Expectation{Slow: f.slow}), steps(acks)); len(lost) > 0 {
			f.Errorf("aka has drained, and %d calls have not come to %s, such as %s", len(lost), d.Name, lost[0])
		}
	}
}
