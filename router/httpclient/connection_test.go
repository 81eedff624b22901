package httpclient

import (
	"fmt"
	"net"
	"testing"
	"time"
)

func TestAnExchangeEndsByItsDeadlineAndLittleBefore(t *testing.T) {
	const timeout = 10 * time.Second
	begin := time.Now()
	for _, c := range []struct {
		name string
		next time.Duration // how much later the next exchange's deadline is
		sets bool
	}{
		{"at once", 0, false},
		{"soon after", timeout / 100, false},
		{"later", timeout/100 + 1, true},
		{"much later", time.Hour, true},
		{"before", -1, true},
	} {
		set := &deadlines{}
		connection := &conn{Conn: set}
		connection.endBy(begin, timeout)
		if set.read != begin || !set.write.Before(begin) {
			t.Errorf("first: reads until %s and writes until %s, want %s", set.read, set.write, begin)
		}
		*set = deadlines{}
		want := begin.Add(c.next)
		connection.endBy(want, timeout)
		if c.sets && set.read != want || !c.sets && !set.read.IsZero() || set.read.IsZero() != set.write.IsZero() {
			t.Errorf("%s: reads until %s and writes until %s, want %s", c.name, set.read, set.write, want)
		}
	}
}

// deadlines remembers what was set.
type deadlines struct {
	net.Conn
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

func TestOnlyAConnectionThatWaitsExpires(t *testing.T) {
	vendor := listen(t, func(c *peer) {
		for c.next() {
			c.say("HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	s := sender()
	send := func() {
		t.Helper()
		if answer := s.Send(Exchange{Method: "POST", URL: vendor.url}); answer.Status != 204 {
			t.Fatalf("got %+v", answer)
		}
	}
	send()
	o := s.pool.existing(vendor.url)
	c := s.pool.take(o)
	c.idleSince = c.idleSince.Add(-maxIdleConn) // as if its time were over while it is used
	s.pool.expire(c)
	s.pool.put(c)
	send()
	s.pool.expire(c) // as its timer does, which was set by the use before
	send()
	if len(o.idle) != 1 || o.idle[0] != c || !c.expires {
		t.Fatalf("the connection that is used was not kept: %d are", len(o.idle))
	}
	c.idleSince = c.idleSince.Add(-maxIdleConn)
	s.pool.expire(c)
	if len(o.idle) != 0 {
		t.Error("the connection that waits was kept")
	}
	vendor.allEnd()
}

func TestTheOriginsThatAreKnownAreBounded(t *testing.T) {
	s := sender()
	for i := range 10 * maxOrigins {
		o, target, err := s.pool.find(fmt.Sprintf("https://vendor%d.example/x", i))
		if err != nil || target != "/x" || o.host != fmt.Sprintf("vendor%d.example", i) || o.port != "https" {
			t.Fatalf("got %+v, %q, %v", o, target, err)
		}
		if again, _, _ := s.pool.find(fmt.Sprintf("https://vendor%d.example/y", i)); again != o {
			t.Fatalf("origin %d is not known again", i)
		}
	}
	if len(s.pool.origins) > maxOrigins {
		t.Errorf("%d are known", len(s.pool.origins))
	}
}
