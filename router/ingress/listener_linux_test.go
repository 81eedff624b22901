package ingress

import (
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// TestAShortageOfDescriptorsPasses has the process run out of them: those who wait meanwhile are served later.
func TestAShortageOfDescriptorsPasses(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := &watchedListener{inner, make(chan struct{}, 1)}
	s := startOn(t, testConfig(), listener, func() (net.Conn, error) { return net.Dial("tcp", inner.Addr().String()) })
	first := s.connect(t)
	first.say("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	first.hear("200")

	giveBack := limitDescriptors(t, 16)
	defer giveBack()
	var waiting []*chatter
	for {
		conn, err := s.dial()
		if errors.Is(err, syscall.EMFILE) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, chat(t, conn))
	}
	<-listener.short
	first.say("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	first.hear("200")
	giveBack()
	for _, c := range waiting {
		c.say(last)
		c.hear("200 close")
	}
}

// watchedListener says when Accept had no descriptor.
type watchedListener struct {
	net.Listener
	short chan struct{}
}

func (l *watchedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if errors.Is(err, syscall.EMFILE) {
		select {
		case l.short <- struct{}{}:
		default:
		}
	}
	return conn, err
}

// limitDescriptors lets the process open some more descriptors and no others, until the limit is given back.
func limitDescriptors(t *testing.T, more int) (giveBack func()) {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	highest := 0
	for _, entry := range open {
		if number, err := strconv.Atoi(entry.Name()); err == nil {
			highest = max(highest, number)
		}
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	set := func(limit syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}
	set(syscall.Rlimit{Cur: uint64(highest + more), Max: before.Max})
	return func() { set(before) }
}
