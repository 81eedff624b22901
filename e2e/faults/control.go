package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/crowd"
)

// steerScenarios are those in which nothing fails: an operator changes what runs while calls come.
func steerScenarios() []scenario {
	return []scenario{
		{name: "reload", does: "destinations, sources and rates change again and again under load, by good configs and bad ones", run: reloads},
		{name: "reload-sigkill", does: "aka is killed while it reloads, pauses, resumes and forgets", run: reloadsKilled},
		{name: "pause", does: "destinations are paused and resumed under load, over restarts too", run: pauses},
		{name: "forget", does: "a destination leaves with a backlog, is forgotten, and comes again as a new one", run: forgets},
		{name: "drain", does: "aka is drained under load, which is called off, and then to its end", run: drains},
	}
}

// guest is a destination that comes and goes. It is a vendor's like the one that is there throughout.
const guest = "guest"

// stage is a world whose config changes while it runs.
type stage struct {
	*world
	plan  plan
	slow  []simulator.Fault
	guest tenure
}

// newStage makes a world with a guest that is there, and vendors that take a moment, so that there is always something in
// flight. It must be closed.
func newStage(h *suite) (*stage, error) {
	s := &stage{plan: plan{delivery: quick}}
	w, err := newWorld(h, s.plan)
	if err != nil {
		return nil, err
	}
	s.world = w
	options := simulator.Options{MaxExchanges: 10_000_000, MaxExchangeBytes: 8 << 30}
	if w.endpoints[guest], err = w.sim.Add(guest, "vero", options); err == nil {
		s.slow, err = w.slowVendors()
	}
	if err == nil {
		err = w.account(guest).AddFaults(s.slow...)
	}
	if err == nil {
		s.invite(true)
		err = s.configure(s.plan)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return s, nil
}

// invite has the config name the guest from its next writing on, or not.
func (s *stage) invite(in bool) {
	s.plan.more = ""
	if in {
		s.plan.more = fmt.Sprintf("  %s: { type: vero, settings: { auth_token: s3cret-token, endpoint: %q } }\n", guest, s.endpoints[guest])
	}
}

func (s *stage) invited() bool { return s.plan.more != "" }

// start starts aka. The guest is there or not from then on.
func (s *stage) start() error {
	if _, err := s.world.start(); err != nil {
		return err
	}
	s.settled()
	return nil
}

// settled notes that aka goes by the config as it is written.
func (s *stage) settled() { s.guest.begin(s.invited(), time.Now()) }

// write writes the config. Until aka goes by it, nobody knows whether the guest is there, if that changes.
func (s *stage) write() error {
	if s.guest.in != s.invited() {
		s.guest.end(time.Now())
	}
	return s.configure(s.plan)
}

// reload writes the config and has aka go by it.
func (s *stage) reload() error {
	if err := s.write(); err != nil {
		return err
	}
	if err := s.steer(http.MethodPost, "/reload", http.StatusOK); err != nil {
		return err
	}
	s.settled()
	return nil
}

// errAnswer tells that the operator's server has answered something else.
var errAnswer = errors.New("the operator's server answered")

// steer asks the operator's server to do something.
func (s *stage) steer(method, path string, want int) error {
	ctx, cancel := context.WithTimeout(s.ctx, stopTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.process.Admin+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("X-Aka-Admin", "1")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != want {
		err = fmt.Errorf("%w %d to %s %s, not %d: %s", errAnswer, response.StatusCode, method, path, want, strings.TrimSpace(string(text)))
	}
	return err
}

func (s *stage) pause(name string) error {
	return s.steer(http.MethodPost, "/destinations/"+name+"/pause", http.StatusOK)
}
func (s *stage) resume(name string) error {
	return s.steer(http.MethodPost, "/destinations/"+name+"/resume", http.StatusOK)
}
func (s *stage) forget(name string) error {
	return s.steer(http.MethodDelete, "/destinations/"+name, http.StatusOK)
}

// rounds is how often an operator does something.
func (h *suite) rounds() int { return 2 * h.runs }

// moment is a short random time.
func (h *suite) moment() time.Duration {
	return time.Duration(h.dice.Int64N(int64(300 * time.Millisecond)))
}

// rewrite changes the config in one of the ways that need no restart.
func (s *stage) rewrite() {
	dice := s.h.dice
	switch dice.IntN(5) {
	case 0: // all are replaced
		s.plan.delivery = fmt.Sprintf("%s, window: %d", quick, 5000+dice.IntN(5000))
	case 1: // one is
		name := destinations[dice.IntN(len(destinations))].name
		s.plan.own = map[string]string{name: fmt.Sprintf("concurrency: %d", 1+dice.IntN(8))}
	case 2: // another source, and its rate
		s.plan.sources = fmt.Sprintf(", other: { write_key: other-key-%d, rate: %d }", dice.IntN(100), 1+dice.IntN(100))
	case 3: // the source's own, above what it needs
		s.plan.source = fmt.Sprintf(", rate: %d", 100_000+dice.IntN(1000))
	default:
		s.invite(!s.invited())
	}
}

func reloads(h *suite, r *Result) error {
	s, err := newStage(h)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.start(); err != nil {
		return err
	}
	l := startLoad(s.world, h.rate)
	slowest := time.Duration(0)
	for range h.rounds() {
		if _, err := s.liveFor(l, h.moment()); err != nil {
			return err
		}
		if err := s.refuseBad(r); err != nil {
			return err
		}
		s.rewrite()
		begin := time.Now()
		if err := s.reload(); err != nil {
			return s.process.Explained(err)
		}
		slowest = max(slowest, time.Since(begin))
		if err := s.hangUp(h.dice.IntN(4)); err != nil {
			return err
		}
		r.Runs++
	}
	r.measured("the slowest reload took %s", slowest.Round(time.Millisecond))
	return s.finish(r, l, expectation{slow: s.slow})
}

// refuseBad has aka go by a config that is none, which it must refuse.
func (s *stage) refuseBad(r *Result) error {
	bad := s.plan
	bad.delivery += ", concurency: 3"
	if err := s.configure(bad); err != nil {
		return err
	}
	err := s.steer(http.MethodPost, "/reload", http.StatusUnprocessableEntity)
	if errors.Is(err, errAnswer) {
		r.wrong("a bad config: %v", err)
		return nil
	}
	return err
}

// hangUp has aka read its config again as often, faster than it can.
func (s *stage) hangUp(times int) error {
	for range times {
		if err := s.process.Signal(syscall.SIGHUP); err != nil {
			return err
		}
	}
	return nil
}

// finish has the guest be there, waits until all is delivered to it, and verifies what everybody got.
func (s *stage) finish(r *Result, l *load, e expectation) error {
	s.invite(true)
	if err := s.reload(); err != nil {
		return err
	}
	if err := l.end(s.world); err != nil {
		return err
	}
	if err := s.untilAllEnded(guest); err != nil {
		return err
	}
	s.guest.end(time.Now())
	if err := s.verifyGuest(r, l, e); err != nil {
		return err
	}
	return s.verify(r, l, e)
}

func (s *stage) verifyGuest(r *Result, l *load, e expectation) error {
	all, err := e.deliveries(s.account(guest).Exchanges())
	if err != nil {
		return err
	}
	acks := l.taken()
	meant, strangers := s.guest.meant(acks), s.guest.strangers(acks)
	r.measured("the guest was there for %d calls, and not for %d; it got %d", len(meant), len(strangers), len(all))
	if lost := crowd.Missing(all, meant); len(lost) > 0 {
		r.Lost += len(lost)
		r.wrong("%s: %d calls were answered 200 while it was there and lost, such as %s", guest, len(lost), lost[0])
	}
	if swaps := crowd.Swaps(whole(all), e.crashes); len(swaps) > 0 {
		r.Swapped += len(swaps)
		r.wrong("%s: %d deliveries were out of order, such as %s after step %d", guest, len(swaps), swaps[0].Place, swaps[0].After)
	}
	for _, d := range all {
		if strangers[d.Place] {
			r.wrong("%s got %s, which was accepted while it was not there", guest, d.Place)
		}
	}
	verifyRepeats(r, guest, crowd.Repeats(all), e)
	return nil
}

// whole leaves out the people of whose stories a step is missing: without their alias nothing says that they are one, and what
// comes first.
func whole(all []crowd.Delivery) (whole []crowd.Delivery) {
	steps := map[int]map[int]bool{}
	for _, d := range all {
		if steps[d.Person] == nil {
			steps[d.Person] = map[int]bool{}
		}
		steps[d.Person][d.Step] = true
	}
	for _, d := range all {
		if len(steps[d.Person]) == crowd.Steps {
			whole = append(whole, d)
		}
	}
	return whole
}

// tenure is when a destination was in the config, and when not, as far as that is certain.
type tenure struct {
	spans []span
	in    bool
	since time.Time // zero while it is not certain
}

type span struct {
	in         bool
	from, till time.Time
}

// begin notes that it is there from now on, or not.
func (t *tenure) begin(in bool, now time.Time) {
	if !t.since.IsZero() && t.in == in {
		return
	}
	t.in, t.since = in, now
}

// end notes that from now on nobody knows.
func (t *tenure) end(now time.Time) {
	if !t.since.IsZero() {
		t.spans = append(t.spans, span{t.in, t.since, now})
	}
	t.since = time.Time{}
}

// forgotten notes that what waits may be let go from now on: what it should have had so far, it may never get.
func (t *tenure) forgotten(now time.Time) {
	t.end(now)
	for i := range t.spans {
		if t.spans[i].in {
			t.spans[i].till = t.spans[i].from
		}
	}
}

// meant are the calls that were sent and answered while it was there.
func (t *tenure) meant(acks []ack) (meant []crowd.Place) {
	for _, a := range acks {
		if t.covers(a, true) {
			meant = append(meant, a.Place)
		}
	}
	return meant
}

// strangers are those that were while it was not.
func (t *tenure) strangers(acks []ack) places {
	strangers := places{}
	for _, a := range acks {
		if t.covers(a, false) {
			strangers[a.Place] = true
		}
	}
	return strangers
}

func (t *tenure) covers(a ack, in bool) bool {
	for _, s := range t.spans {
		if s.in == in && !a.began.Before(s.from) && !a.at.After(s.till) {
			return true
		}
	}
	return false
}

// reloadsKilled kills aka at random moments while it is steered.
func reloadsKilled(h *suite, r *Result) error {
	s, err := newStage(h)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.start(); err != nil {
		return err
	}
	stalls := watchStalls(s.world)
	l := startLoad(s.world, h.rate)
	var ends []time.Time
	steered := 0
	for range h.runs {
		var killed atomic.Bool
		kill := time.AfterFunc(time.Duration(h.dice.Int64N(int64(time.Second))), func() {
			killed.Store(true)
			s.process.Kill()
		})
		for !killed.Load() {
			if err := s.steerSomehow(); err != nil && !killed.Load() {
				kill.Stop()
				return s.process.Explained(err)
			}
			steered++
		}
		<-s.process.Exited
		ends = append(ends, time.Now().Add(lateReads))
		if err := s.start(); err != nil {
			return err
		}
		l.follow(s.world)
	}
	r.Runs = len(ends)
	r.measured("it was steered %d times", steered)
	for _, d := range destinations {
		if err := s.resume(d.name); err != nil {
			return err
		}
	}
	s.invite(true)
	if err := s.reload(); err != nil {
		return err
	}
	if err := s.resume(guest); err != nil {
		return err
	}
	stall := stalls()
	return s.finish(r, l, expectation{crashes: ends, repeatable: saved + 4*stall, slow: s.slow})
}

// steerSomehow does one of the things that can be done to a running aka.
func (s *stage) steerSomehow() error {
	name := destinations[s.h.dice.IntN(len(destinations))].name
	switch s.h.dice.IntN(6) {
	case 0:
		if s.invited() {
			return s.pause(guest)
		}
		return s.pause(name)
	case 1:
		return s.resume(name)
	case 2:
		if s.guest.since.IsZero() || s.guest.in {
			return nil
		}
		s.guest.forgotten(time.Now())
		err := s.forget(guest)
		if errors.Is(err, errAnswer) { // it was forgotten before
			err = nil
		}
		if err == nil {
			s.settled()
		}
		return err
	default:
		s.rewrite()
		return s.reload()
	}
}

// pauses pauses destinations and resumes them, some of them after a restart. Nothing may go to one that is paused.
func pauses(h *suite, r *Result) error {
	s, err := newStage(h)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.start(); err != nil {
		return err
	}
	l := startLoad(s.world, h.rate)
	for i := range h.runs {
		name := destinations[h.dice.IntN(len(destinations))].name
		if err := s.pause(name); err != nil {
			return err
		}
		if err := s.until("what is in flight has ended", func() (bool, error) {
			n, err := s.metric("aka_exchanges_in_flight", of(name))
			return n == 0, err
		}); err != nil {
			return err
		}
		before := s.account(name).Stats().Exchanges
		if _, err := s.liveFor(l, h.moment()); err != nil {
			return err
		}
		if i%5 == 4 { // it outlives that, too
			if _, err := s.stop(); err != nil {
				return err
			}
			if err := s.start(); err != nil {
				return err
			}
			l.follow(s.world)
		}
		s.rewrite()
		if err := s.reload(); err != nil {
			return err
		}
		if _, err := s.liveFor(l, h.moment()); err != nil {
			return err
		}
		if n := s.account(name).Stats().Exchanges - before; n > 0 {
			r.wrong("%s was sent %d requests while it was paused", name, n)
		}
		if err := s.resume(name); err != nil {
			return err
		}
		r.Runs++
	}
	return s.finish(r, l, expectation{restarted: true, slow: s.slow})
}

// forgets has the guest leave with a backlog, forgets it, and has it come again. It gets nothing of what was before.
func forgets(h *suite, r *Result) error {
	s, err := newStage(h)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.start(); err != nil {
		return err
	}
	l := startLoad(s.world, h.rate)
	for range h.runs {
		if err := s.pause(guest); err != nil {
			return err
		}
		if _, err := s.liveFor(l, 100*time.Millisecond+h.moment()); err != nil {
			return err
		}
		s.invite(false)
		if err := s.reload(); err != nil {
			return err
		}
		waiting, err := s.metric("aka_backlog_calls", of(guest))
		if err != nil {
			return err
		}
		before, err := s.metric("aka_forgotten_calls_total")
		if err != nil {
			return err
		}
		if waiting == 0 {
			r.wrong("%s was paused under load, and has no backlog", guest)
		}
		if _, err := s.liveFor(l, h.moment()); err != nil {
			return err
		}
		if err := s.forget(guest); err != nil {
			return err
		}
		s.guest.forgotten(time.Now())
		s.settled()
		after, err := s.metric("aka_forgotten_calls_total")
		if err != nil {
			return err
		}
		if after-before != waiting {
			r.wrong("%v calls waited for %s, and %v were forgotten", waiting, guest, after-before)
		}
		known := map[crowd.Place]bool{}
		for _, a := range l.taken() {
			known[a.Place] = true
		}
		if _, err := s.liveFor(l, h.moment()); err != nil {
			return err
		}
		had := len(s.account(guest).Exchanges())
		s.invite(true)
		if err := s.reload(); err != nil {
			return err
		}
		if err := s.until("the guest, which has come again, gets something", func() (bool, error) {
			return len(s.account(guest).Exchanges()) > had, nil
		}); err != nil {
			return err
		}
		if _, err := s.liveFor(l, 100*time.Millisecond+h.moment()); err != nil {
			return err
		}
		if err := s.verifyNew(r, had, known); err != nil {
			return err
		}
		r.Runs++
	}
	return s.finish(r, l, expectation{slow: s.slow})
}

// verifyNew checks that the guest has got nothing that was known when it was forgotten, since it had so many exchanges.
func (s *stage) verifyNew(r *Result, had int, known places) error {
	all, err := expectation{slow: s.slow}.deliveries(s.account(guest).Exchanges()[had:])
	if err != nil {
		return err
	}
	for _, d := range all {
		if known[d.Place] {
			r.wrong("%s got %s, which was accepted before it was forgotten", guest, d.Place)
		}
	}
	return nil
}

// drains drains aka under load. When it has ended, everything that was answered 200 is where it belongs.
func drains(h *suite, r *Result) error {
	s, err := newStage(h)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.start(); err != nil {
		return err
	}
	l := startLoad(s.world, h.rate)
	for range max(1, h.runs/5) {
		if _, err := s.liveFor(l, 200*time.Millisecond+h.moment()); err != nil {
			return err
		}
		if err := s.callOff(l); err != nil {
			return err
		}
		if err := s.drain(); err != nil {
			return err
		}
		if err := s.verifyDrained(r, l.taken()); err != nil {
			return err
		}
		r.Runs++
		if err := s.start(); err != nil {
			return err
		}
		l.follow(s.world)
	}
	return s.finish(r, l, expectation{restarted: true, slow: s.slow})
}

// callOff begins a drain that cannot end, until calls are refused, and takes calls again.
func (s *stage) callOff(l *load) error {
	if err := s.pause("vero"); err != nil {
		return err
	}
	acked := l.acked.Load()
	if err := l.untilAcked(s.world, acked+10); err != nil { // so that something waits there
		return err
	}
	if err := s.steer(http.MethodPost, "/drain", http.StatusOK); err != nil {
		return err
	}
	refused := l.refused.Load()
	if err := s.until("calls are refused", func() (bool, error) { return l.refused.Load() > refused, nil }); err != nil {
		return err
	}
	if err := s.steer(http.MethodDelete, "/drain", http.StatusOK); err != nil {
		return err
	}
	acked = l.acked.Load()
	if err := l.untilAcked(s.world, acked+10); err != nil {
		return err
	}
	return s.resume("vero")
}

// drain waits until aka has ended by itself.
func (s *stage) drain() error {
	if err := s.steer(http.MethodPost, "/drain", http.StatusOK); err != nil {
		return err
	}
	code, err := s.process.Wait(stopTimeout)
	if err == nil && code != 0 {
		err = fmt.Errorf("%w: %d", errExitCode, code)
	}
	return s.process.Explained(err)
}

// verifyDrained checks that everything was delivered by a process that has ended.
func (s *stage) verifyDrained(r *Result, acks []ack) error {
	for _, d := range append([]destination{{name: guest}}, destinations...) {
		all, err := expectation{slow: s.slow}.deliveries(s.account(d.name).Exchanges())
		if err != nil {
			return err
		}
		var meant []crowd.Place
		for _, a := range acks {
			meant = append(meant, a.Place)
		}
		if lost := crowd.Missing(all, meant); len(lost) > 0 {
			r.wrong("aka has drained, and %d calls have not come to %s, such as %s", len(lost), d.name, lost[0])
		}
	}
	return nil
}
