package httpclient

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestANameThatLeadsNowhereIsAFailureOfDNS(t *testing.T) {
	for name, c := range map[string]struct {
		answer  func(kind uint16) (addrs []netip.Addr, code byte)
		timeout time.Duration
	}{
		"no such name": {func(uint16) ([]netip.Addr, byte) { return nil, 3 }, 30 * time.Second},
		"no address":   {func(uint16) ([]netip.Addr, byte) { return nil, 0 }, 30 * time.Second},
		"refused":      {func(uint16) ([]netip.Addr, byte) { return nil, 5 }, 30 * time.Second},
		"no answer":    {nil, impatient},
	} {
		t.Run(name, func(t *testing.T) {
			s := sender()
			s.timeout = c.timeout
			s.dialer.Resolver = nameServer(t, c.answer)
			answer := s.Send(Exchange{Method: "POST", URL: "http://vendor.example:1"})
			if ErrorKind(answer.Err) != KindDNS || answer.PossiblyDelivered {
				t.Errorf("got %s, possibly delivered %t: %v", describe(answer), answer.PossiblyDelivered, answer.Err)
			}
			gone(t, "net.(*Resolver)")
		})
	}
}

func TestANewAddressIsUsedWhenAConnectionIsOld(t *testing.T) {
	var first, second atomic.Int32
	before := listenAt(t, "127.0.0.1:0", counting(&first))
	port := before.url[strings.LastIndexByte(before.url, ':'):]
	after := listenAt(t, "127.0.0.2"+port, counting(&second))
	var moved atomic.Bool
	s := sender()
	s.dialer.Resolver = nameServer(t, func(kind uint16) ([]netip.Addr, byte) {
		if moved.Load() {
			return only(kind, "127.0.0.2"), 0
		}
		return only(kind, "127.0.0.1"), 0
	})
	send := func() {
		t.Helper()
		if answer := s.Send(Exchange{Method: "POST", URL: "http://vendor.example" + port}); answer.Status != 204 {
			t.Fatalf("got %s: %v", describe(answer), answer.Err)
		}
	}
	send()
	moved.Store(true)
	send() // the connection is young, and goes on
	if first.Load() != 2 || second.Load() != 0 {
		t.Errorf("the old address got %d and the new one %d", first.Load(), second.Load())
	}
	s.maxConnAge = 0 // it is old now
	send()
	if first.Load() != 2 || second.Load() != 1 {
		t.Errorf("the old address got %d and the new one %d", first.Load(), second.Load())
	}
	if maxConnAge > 30*time.Second {
		t.Errorf("a new address is used only after %s", maxConnAge)
	}
	s.closeIdle()
	before.allEnd()
	after.allEnd()
}

func TestOneOfANamesAddressesIsEnough(t *testing.T) {
	var requests atomic.Int32
	vendor := listenAt(t, "127.0.0.1:0", counting(&requests))
	port := vendor.url[strings.LastIndexByte(vendor.url, ':'):]
	for name, addrs := range map[string][]string{
		"IPv6 is closed":        {"::1", "127.0.0.1"},
		"the first is closed":   {"127.0.0.3", "127.0.0.1"},
		"IPv4 only":             {"127.0.0.1"},
		"the first is for none": {"169.254.169.254", "127.0.0.1"},
	} {
		s := sender()
		s.dialer.Resolver = nameServer(t, func(kind uint16) ([]netip.Addr, byte) { return only(kind, addrs...), 0 })
		if answer := s.Send(Exchange{Method: "POST", URL: "http://vendor.example" + port}); answer.Status != 204 {
			t.Errorf("%s: got %s: %v", name, describe(answer), answer.Err)
		}
		s.closeIdle()
	}
	vendor.allEnd()
}

// What a name leads to is checked as it is dialed: a name server that says one thing at first and another later gets nowhere.
func TestNoNameLeadsToAPrivateAddress(t *testing.T) {
	var requests atomic.Int32
	vendor := listen(t, counting(&requests))
	port := vendor.url[strings.LastIndexByte(vendor.url, ':'):]
	for _, text := range dialable("127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00:ec2::254", "0.0.0.0") {
		s := New(Options{Timeout: 30 * time.Second})
		s.dialer.Resolver = nameServer(t, func(kind uint16) ([]netip.Addr, byte) { return only(kind, text), 0 })
		expectRefused(t, s, "http://vendor.example"+port)
	}
	for _, host := range dialable("127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "localhost", "::") {
		expectRefused(t, New(Options{Timeout: 30 * time.Second}), "http://"+net.JoinHostPort(host, port[1:]))
	}
	for _, host := range dialable("169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254") {
		expectRefused(t, sender(), "http://"+net.JoinHostPort(host, port[1:]))
	}
	if requests.Load() != 0 || vendor.active.Load() != 0 {
		t.Errorf("%d requests came", requests.Load())
	}
}

// dialable leaves out the IPv6 addresses where there is no IPv6: they are not even dialed there.
func dialable(hosts ...string) []string {
	if probe, err := net.Listen("tcp", "[::1]:0"); err == nil {
		_ = probe.Close()
		return hosts
	}
	return slices.DeleteFunc(hosts, func(host string) bool {
		addr, err := netip.ParseAddr(host)
		return err == nil && addr.Unmap().Is6()
	})
}

func expectRefused(t *testing.T, s *Sender, address string) {
	t.Helper()
	answer := s.Send(Exchange{Method: "POST", URL: address, Body: []byte("token")})
	var refused *AddressError
	if ErrorKind(answer.Err) != KindPrivate || answer.PossiblyDelivered || !errors.As(answer.Err, &refused) {
		t.Errorf("%s: got %s, possibly delivered %t: %v", address, describe(answer), answer.PossiblyDelivered, answer.Err)
	}
}

func TestProxiesOfTheEnvironmentMeanNothing(t *testing.T) {
	proxied := listen(t, func(c *peer) { t.Error("the proxy was asked"); c.untilClosed() })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, proxied.url)
	}
	t.Setenv("NO_PROXY", "")
	var requests atomic.Int32
	vendor := listen(t, counting(&requests))
	port := vendor.url[strings.LastIndexByte(vendor.url, ':'):]
	s := sender()
	s.dialer.Resolver = nameServer(t, func(kind uint16) ([]netip.Addr, byte) { return only(kind, "127.0.0.1"), 0 })
	if answer := s.Send(Exchange{Method: "POST", URL: "http://vendor.example" + port}); answer.Status != 204 {
		t.Errorf("got %s: %v", describe(answer), answer.Err)
	}
	s.closeIdle()
	vendor.allEnd()
}

// counting answers 204 to every request.
func counting(requests *atomic.Int32) func(c *peer) {
	return func(c *peer) {
		for c.next() {
			requests.Add(1)
			c.say("HTTP/1.1 204 No Content\r\n\r\n")
		}
	}
}

// next waits for a request and reads it.
func (c *peer) next() bool {
	if _, err := c.reader.Peek(1); err != nil {
		return false
	}
	c.request()
	return true
}

// only returns those addresses that a question of this kind is about.
func only(kind uint16, texts ...string) []netip.Addr {
	var addrs []netip.Addr
	for _, text := range texts {
		if addr := netip.MustParseAddr(text); addr.Is4() == (kind == typeA) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// The types of records that are asked for: https://www.rfc-editor.org/rfc/rfc1035#section-3.2.2
const (
	typeA    = 1
	typeAAAA = 28
)

// nameServer runs a name server, and returns a resolver that asks it. Without answer it is silent.
func nameServer(t *testing.T, answer func(kind uint16) (addrs []netip.Addr, code byte)) *net.Resolver {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		question := make([]byte, 1024)
		for {
			n, from, err := socket.ReadFrom(question)
			if err != nil {
				return
			}
			if answer != nil {
				_, _ = socket.WriteTo(reply(question[:n], answer), from)
			}
		}
	})
	t.Cleanup(func() { _ = socket.Close(); serving.Wait() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
}

// reply answers a DNS message with one question: https://www.rfc-editor.org/rfc/rfc1035#section-4
func reply(message []byte, answer func(kind uint16) ([]netip.Addr, byte)) []byte {
	end := 12
	for message[end] != 0 {
		end += 1 + int(message[end])
	}
	end += 5
	kind := binary.BigEndian.Uint16(message[end-4:])
	var addrs []netip.Addr
	code := byte(0)
	if kind == typeA || kind == typeAAAA {
		addrs, code = answer(kind)
	}
	out := append([]byte(nil), message[:end]...)
	out[2], out[3] = 0x85, 0x80|code // an answer, with authority
	binary.BigEndian.PutUint16(out[6:], uint16(len(addrs)))
	clear(out[8:12])
	for _, addr := range addrs {
		raw := addr.AsSlice()
		out = append(out, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(raw))) // its name is the question's
		out = append(out, raw...)
	}
	return out
}
