package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func openVero(t *testing.T) *client {
	t.Helper()
	return openAccount(t, "vero", Options{})
}

func (c *client) fault(all ...Fault) {
	c.t.Helper()
	if err := c.AddFaults(all...); err != nil {
		c.t.Fatal(err)
	}
}

// newUser is a request that makes Vero know the id.
func (c *client) newUser(id string) *http.Request {
	return c.newRequest("POST", "/users/track", object{"auth_token": "tok", "id": id})
}

func TestFaultsAreMetInOrderAndUsedUp(t *testing.T) {
	c := openVero(t)
	c.fault(Fault{Status: 500, Times: 2}, Fault{Status: 429, Times: 1, Header: map[string]string{"Retry-After": "7"}})
	var got []int
	for range 4 {
		got = append(got, c.do(c.newUser("jane")).status)
	}
	if want := []int{500, 500, 429, 200}; !reflect.DeepEqual(got, want) {
		t.Errorf("statuses %v, want %v", got, want)
	}
	var noted []int
	for _, exchange := range c.Exchanges() {
		noted = append(noted, exchange.Status)
	}
	if !reflect.DeepEqual(noted, got) {
		t.Errorf("noted statuses %v, want %v", noted, got)
	}
	if first := c.Exchanges()[0].Fault; first != "status 500 before" {
		t.Errorf("noted fault %q", first)
	}
	if got := c.Stats(); got.Faults != 3 || got.Records != 1 || len(c.Faults()) != 0 {
		t.Errorf("stats %+v, want 3 faults and 1 record", got)
	}
}

func TestStatusFaults(t *testing.T) {
	c := openVero(t)
	when := noon.Add(time.Minute).Format(http.TimeFormat)
	c.fault(
		Fault{Status: 503, Times: 1, Header: map[string]string{"Retry-After": when}, Body: "down"},
		Fault{Status: 502, Times: 1, When: After},
		Fault{Status: 302, Times: 1, Header: map[string]string{"Location": "http://127.0.0.1:1/"}},
		Fault{Status: 204, Times: 1, Body: "never sent"},
	)
	got := c.do(c.newUser("a"))
	if got.status != 503 || got.header.Get("Retry-After") != when || got.body != "down" {
		t.Errorf("answer %+v, want 503 with a date", got)
	}
	c.wantGraph(Graph{})
	got = c.do(c.newUser("a"))
	if got.status != 502 || got.body != "" {
		t.Errorf("answer %+v, want an empty 502", got)
	}
	c.wantPeople("a -> one person, 0 events")
	wantStatus(t, c.do(c.newUser("b")), 302)
	wantStatus(t, c.do(c.newUser("b")), 204)
	c.wantPeople("a -> one person, 0 events")
}

func TestFaultsByPathIDAndMatch(t *testing.T) {
	c := openVero(t)
	c.fault(
		Fault{Status: 501, Path: "/reidentify"},
		Fault{Status: 502, ID: "jane"},
		Fault{Status: 504, Match: func(e Exchange) bool { return e.Method == "POST" && holds(e.Records, "bob") }},
	)
	wantStatus(t, c.do(c.newUser("jane")), 502)
	wantStatus(t, c.do(c.newUser("bob")), 504)
	wantStatus(t, c.do(c.newUser("janet")), 200)
	wantStatus(t, c.send("PUT", "/users/reidentify", object{"auth_token": "tok", "id": "janet", "new_id": "b"}), 501)
	c.ClearFaults()
	wantStatus(t, c.do(c.newUser("jane")), 200)
}

func TestFaultsByIDReachIntoBatches(t *testing.T) {
	c := openMixpanel(t, "simplified")
	c.fault(Fault{Status: 500, ID: "12345678901234567890"})
	wantStatus(t, c.imports("t", event("E", "a", "i1", nil), event("E", "", "i2", object{"distinct_id": json.Number("12345678901234567890")})), 500)
	wantStatus(t, c.imports("t", event("E", "a", "i1", nil)), 200)
}

func TestProbabilityIsSeeded(t *testing.T) {
	run := func(seed uint64) (fails []bool) {
		f := newFaults(seed)
		if err := f.add([]Fault{{Status: 500, Probability: 0.5}}); err != nil {
			t.Fatal(err)
		}
		for range 64 {
			fails = append(fails, f.take(Exchange{}) != nil)
		}
		return fails
	}
	first, again, other := run(1), run(1), run(2)
	if !reflect.DeepEqual(first, again) || reflect.DeepEqual(first, other) {
		t.Error("the same seed must give the same faults, another seed others")
	}
	if !strings.Contains(strings.Join(boolNames(first), ""), "truefalse") {
		t.Errorf("faults %v, want some of both", first)
	}
}

func boolNames(all []bool) (names []string) {
	for _, b := range all {
		if b {
			names = append(names, "true")
		} else {
			names = append(names, "false")
		}
	}
	return names
}

func TestResetBeforeTakesNothing(t *testing.T) {
	for name, fault := range map[string]Fault{
		"without reading": {Reset: true, Times: 1},
		"having read":     {Reset: true, Times: 1, ID: "jane"},
	} {
		t.Run(name, func(t *testing.T) {
			c := openVero(t)
			c.fault(fault)
			if _, err := c.try(c.newUser("jane")); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
				t.Errorf("error %v, want a reset", err)
			}
			c.wantGraph(Graph{})
			if e := c.Exchanges()[0]; e.Status != 0 || e.Fault != "reset before" {
				t.Errorf("exchange %+v, want no status", e)
			}
		})
	}
}

func TestResetAfterLosesOnlyTheAnswer(t *testing.T) {
	c := openVero(t)
	c.fault(Fault{Reset: true, When: After, Times: 1})
	if _, err := c.try(c.newUser("jane")); err == nil {
		t.Error("there was an answer, want a reset")
	}
	c.wantPeople("jane -> one person, 0 events")
	if e := c.Exchanges()[0]; e.Status != 0 || len(e.Records) != 1 {
		t.Errorf("exchange %+v, want a record and no status", e)
	}
}

func TestHangUntilReleased(t *testing.T) {
	for when, people := range map[Phase]int{Before: 0, After: 1} {
		t.Run(string(when), func(t *testing.T) {
			c := openVero(t)
			c.fault(Fault{Hang: true, When: when})
			var answered sync.WaitGroup
			var got reply
			answered.Go(func() { got, _ = c.try(c.newUser("jane")) })
			c.await(func() bool { return c.Stats().Exchanges == 1 && len(c.Graph()) == people })
			c.ClearFaults()
			answered.Wait()
			wantStatus(t, got, 200)
			c.wantPeople("jane -> one person, 0 events")
		})
	}
}

// await waits for what another goroutine brings about.
func (c *client) await(until func() bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := c.Wait(ctx, until); err != nil {
		c.t.Fatal(err)
	}
}

func TestHangEndsWithTheClient(t *testing.T) {
	c := openVero(t)
	c.fault(Fault{Hang: true})
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if _, err := c.try(c.newUser("jane").WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want a cancelled request", err)
		}
	})
	c.await(func() bool { return c.Stats().Exchanges == 1 })
	cancel()
	done.Wait()
	c.wantGraph(Graph{})
}

func TestCloseBreaksWhatHangs(t *testing.T) {
	sim := startSimulator(t)
	c := addAccount(t, sim, "it", "vero", Options{})
	c.fault(Fault{Hang: true})
	var done sync.WaitGroup
	done.Go(func() {
		if _, err := c.try(c.newUser("jane")); err == nil {
			t.Error("there was an answer, want a broken connection")
		}
	})
	c.await(func() bool { return c.Stats().Exchanges == 1 })
	if err := sim.Close(); err != nil {
		t.Error(err)
	}
	done.Wait()
}

func TestDelayComesFirst(t *testing.T) {
	c := openVero(t)
	const delay = 30 * time.Millisecond
	c.fault(Fault{Delay: delay, Times: 1}, Fault{Delay: delay, Reset: true, Times: 1})
	start := time.Now()
	wantStatus(t, c.do(c.newUser("jane")), 200)
	if took := time.Since(start); took < delay {
		t.Errorf("the answer took %s, want at least %s", took, delay)
	}
	start = time.Now()
	if _, err := c.try(c.newUser("bob")); err == nil || time.Since(start) < delay {
		t.Errorf("error %v after %s, want a reset after %s", err, time.Since(start), delay)
	}
	c.wantPeople("jane -> one person, 0 events")
}

func TestDelayEndsWithTheClient(t *testing.T) {
	c := openVero(t)
	c.fault(Fault{Delay: time.Hour})
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { _, _ = c.try(c.newUser("jane").WithContext(ctx)) })
	c.await(func() bool { return c.Stats().Exchanges == 1 })
	cancel()
	done.Wait()
	c.wantGraph(Graph{})
}

func TestAnswersThatAreNotTheVendors(t *testing.T) {
	c := openVero(t)
	c.fault(
		Fault{Times: 1, Body: "<html>", Header: map[string]string{"Content-Type": "text/html"}},
		Fault{Times: 1, Body: "ab", BodyBytes: 1 << 20},
		Fault{Times: 1, BodyBytes: 5},
		Fault{Times: 1, Body: "slow", Drip: time.Millisecond},
		Fault{Times: 1, Body: "ab", BodyBytes: 5, Drip: time.Millisecond},
	)
	got := c.do(c.newUser("1"))
	if got.status != 200 || got.body != "<html>" || got.header.Get("Content-Type") != "text/html" {
		t.Errorf("answer %+v, want a page", got)
	}
	if got = c.do(c.newUser("2")); len(got.body) != 1<<20 || strings.Trim(got.body, "ab") != "" {
		t.Errorf("body of %d bytes, want %d", len(got.body), 1<<20)
	}
	if got = c.do(c.newUser("3")); got.body != `{"mes` {
		t.Errorf("body %q, want the start of the vendor's", got.body)
	}
	if got = c.do(c.newUser("4")); got.body != "slow" {
		t.Errorf("body %q, want slow", got.body)
	}
	if got = c.do(c.newUser("5")); got.body != "ababa" {
		t.Errorf("body %q, want ababa", got.body)
	}
	if got := len(c.Graph()); got != 5 {
		t.Errorf("%d people, want 5: only the answers were wrong", got)
	}
}

func TestAWebPageInTheVendorsPlace(t *testing.T) {
	c := openVero(t)
	c.fault(
		Fault{Page: true, Times: 1},
		Fault{Page: true, When: After, Times: 1},
		Fault{Page: true, Status: 403, Body: "<html>Blocked</html>", Times: 1},
	)
	got := c.do(c.newUser("jane"))
	if got.status != 200 || !strings.HasPrefix(got.body, "<!DOCTYPE html>") || got.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("answer %+v, want a page", got)
	}
	c.wantGraph(Graph{})
	if first := c.Exchanges()[0]; first.Fault != "web page before" || first.Status != 200 {
		t.Errorf("noted %+v", first)
	}
	wantStatus(t, c.do(c.newUser("jane")), 200)
	c.wantPeople("jane -> one person, 0 events")
	if got := c.do(c.newUser("bob")); got.status != 403 || got.body != "<html>Blocked</html>" || got.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("answer %+v, want the page of a firewall", got)
	}
	c.wantPeople("jane -> one person, 0 events")
}

func TestABodyWithoutAnEnd(t *testing.T) {
	for name, c := range map[string]struct {
		fault Fault
		start string
	}{
		"the vendor's": {Fault{Endless: true}, strings.Repeat(`{"message":"Success.","status":200}`, 5000)},
		"a page":       {Fault{Endless: true, Page: true}, page + page},
		"that drips":   {Fault{Endless: true, Body: "ab", Drip: time.Millisecond}, "ababa"},
		"that stalls":  {Fault{Endless: true, Drip: time.Hour}, "{"},
	} {
		t.Run(name, func(t *testing.T) {
			account := openVero(t)
			account.fault(c.fault)
			response, err := account.http.Do(account.newUser("jane"))
			if err != nil {
				t.Fatal(err)
			}
			start := make([]byte, len(c.start))
			if _, err := io.ReadFull(response.Body, start); err != nil || string(start) != c.start {
				t.Errorf("%v, body %.100q", err, start)
			}
			if err := response.Body.Close(); err != nil || response.ContentLength != -1 {
				t.Errorf("%v, a length of %d", err, response.ContentLength)
			}
		})
	}
}

func TestFailRecordsAsTheVendorRefuses(t *testing.T) {
	t.Run("mixpanel import", func(t *testing.T) {
		c := openMixpanel(t, "simplified")
		c.fault(Fault{FailRecords: []int{0, 2}, Times: 1})
		got := c.imports("t", event("A", "jane", "i1", nil), event("B", "jane", "i2", nil), event("C", "jane", "i3", nil))
		wantStatus(t, got, 400)
		failed := list(got.object(t)["failed_records"])
		if len(failed) != 2 || failed[1].(map[string]any)["insert_id"] != "i3" {
			t.Errorf("answer %s, want the first and third failed", got.body)
		}
		c.wantGraph(Graph{{IDs: []string{"jane"}, Events: []string{"B"}}})
	})
	t.Run("mixpanel track and engage", func(t *testing.T) {
		c := openMixpanel(t, "simplified")
		c.fault(Fault{FailRecords: []int{0}})
		if got := c.form("/track?verbose=1", `{"event":"E","properties":{"token":"t","distinct_id":"jane"}}`).object(t); got["status"] != 0.0 {
			t.Errorf("answer %v, want status 0", got)
		}
		update := object{"$token": "t", "$distinct_id": "jane", "$set": object{}}
		if got := c.send("POST", "/engage?verbose=1&strict=1", []any{update, update}).object(t); got["status"] != 0.0 || got["num_good_events"] != 1.0 {
			t.Errorf("answer %v, want one of two failed", got)
		}
	})
	t.Run("vero", func(t *testing.T) {
		c := openVero(t)
		c.fault(Fault{FailRecords: []int{0}})
		wantStatus(t, c.do(c.newUser("jane")), 400)
		c.wantGraph(Graph{})
	})
	t.Run("kissmetrics", func(t *testing.T) {
		c := openAccount(t, "kissmetrics", Options{})
		c.fault(Fault{FailRecords: []int{0}})
		c.call("/e", "_p", "jane", "_n", "E")
		c.wantRefusals("fault")
	})
}

func TestImpossibleFaults(t *testing.T) {
	c := openVero(t)
	for want, fault := range map[string]Fault{
		"it does nothing":   {Times: 1},
		"when":              {Status: 500, When: "later"},
		"status 99":         {Status: 99},
		"status 600":        {Status: 600},
		"negative":          {Delay: -1},
		"negative,":         {Status: 500, Times: -1},
		"probability":       {Status: 500, Probability: 1.1},
		"between 0 and 1":   {Status: 500, Probability: -0.1},
		"body_bytes cannot": {BodyBytes: -1},
		"endless body":      {BodyBytes: 1, Endless: true},
	} {
		err := c.AddFaults(Fault{Status: 500}, fault)
		if err == nil || !strings.Contains(err.Error()+",", want) {
			t.Errorf("%+v: error %v, want %q", fault, err, want)
		}
	}
	if got := c.Faults(); len(got) != 0 {
		t.Errorf("faults %v, want none", got)
	}
}

func TestFaultsChangeWhileExchangesRun(t *testing.T) {
	c := openVero(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 25 {
				_, _ = c.try(c.newUser("jane"))
			}
		})
		all.Go(func() {
			for range 25 {
				_ = c.AddFaults(Fault{Status: 500, Times: 1}, Fault{Reset: true, Times: 1}, Fault{Hang: true, Times: 1})
				c.Faults()
				c.Graph()
				c.Exchanges()
				c.ClearFaults()
			}
		})
	}
	all.Wait() // every hang ends with the clearing that follows it
	if got := c.Stats(); got.Exchanges < 100 {
		t.Errorf("%d exchanges, want 100", got.Exchanges)
	}
}
