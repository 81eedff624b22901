package ingress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// networks reads what trusted_proxies would say.
func networks(t testing.TB, texts ...string) trusted {
	t.Helper()
	read := make(trusted, len(texts))
	for i, text := range texts {
		if err := read[i].UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return read
}

// from returns a request of a peer with these lines of X-Forwarded-For.
func from(peer string, lines ...string) *fasthttp.RequestCtx {
	var request fasthttp.Request
	for _, line := range lines {
		request.Header.Add("x-forwarded-for", line)
	}
	ctx := &fasthttp.RequestCtx{}
	ctx.Init(&request, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(peer), 4711)), nil)
	return ctx
}

func TestTheClientIsTheLastThatIsNoTrustedProxy(t *testing.T) {
	proxies := networks(t, "10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48", "::ffff:172.16.0.0/108")
	for _, c := range []struct {
		peer  string
		lines string // one after the other, with | between them
		want  string
	}{
		{"198.51.100.1", "", "198.51.100.1"},
		{"198.51.100.1", "203.0.113.7", "198.51.100.1"},
		{"198.51.100.1", "203.0.113.7, 10.0.0.1", "198.51.100.1"},
		{"2001:db8:2::1", "203.0.113.7", "2001:db8:2::1"},

		{"10.0.0.1", "", ""},
		{"10.0.0.1", "203.0.113.7", "203.0.113.7"},
		{"::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"},
		{"172.16.5.5", "203.0.113.7", "203.0.113.7"},
		{"192.0.2.1", "203.0.113.7", "203.0.113.7"},
		{"192.0.2.2", "203.0.113.7", "192.0.2.2"},
		{"2001:db8:1::1", "203.0.113.7", "203.0.113.7"},
		{"2001:db8:1::1%eth0", "2001:db8:2::7", "2001:db8:2::7"},

		{"10.0.0.1", "8.8.8.8, 203.0.113.7", "203.0.113.7"},
		{"10.0.0.1", "8.8.8.8, 203.0.113.7, 10.0.0.2, 192.0.2.1", "203.0.113.7"},
		{"10.0.0.1", "8.8.8.8, 203.0.113.7,10.0.0.2\t,  ::ffff:10.0.0.3 ", "203.0.113.7"},
		{"10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"10.0.0.1", "8.8.8.8|203.0.113.7|10.0.0.2", "203.0.113.7"},
		{"10.0.0.1", "8.8.8.8, 203.0.113.7|10.0.0.3, 10.0.0.2", "203.0.113.7"},
		{"10.0.0.1", "203.0.113.7, 8.8.8.8|10.0.0.2", "8.8.8.8"},

		{"10.0.0.1", "203.0.113.7:4711", "203.0.113.7"},
		{"10.0.0.1", "203.0.113.7, 10.0.0.2:80", "203.0.113.7"},
		{"10.0.0.1", "[2001:db8:2::7]:4711", "2001:db8:2::7"},
		{"10.0.0.1", "[2001:db8:2::7]", "2001:db8:2::7"},
		{"10.0.0.1", "2001:db8:2::7", "2001:db8:2::7"},
		{"10.0.0.1", "[::ffff:203.0.113.7]:80", "203.0.113.7"},
		{"10.0.0.1", "fe80::7%eth0", "fe80::7"},
		{"10.0.0.1", "[fe80::7%eth0]:80", "fe80::7"},

		{"10.0.0.1", "unknown", ""},
		{"10.0.0.1", "203.0.113.7, unknown", ""},
		{"10.0.0.1", "203.0.113.7, unknown, 10.0.0.2", ""},
		{"10.0.0.1", "203.0.113.7, _hidden, 10.0.0.2", ""},
		{"10.0.0.1", "203.0.113.7,, 10.0.0.2", ""},
		{"10.0.0.1", "203.0.113.7,", ""},
		{"10.0.0.1", ",203.0.113.7", "203.0.113.7"},
		{"10.0.0.1", ",10.0.0.2", ""},
		{"10.0.0.1", "203.0.113.7||10.0.0.2", ""},
		{"10.0.0.1", "203.0.113.7:99999", ""},
		{"10.0.0.1", "203.0.113.7:", ""},
		{"10.0.0.1", "203.0.113.256", ""},
		{"10.0.0.1", "203.0.113.07", ""},
		{"10.0.0.1", "3405803783", ""},
		{"10.0.0.1", "[203.0.113.7", ""},
		{"10.0.0.1", "[]", ""},
		{"10.0.0.1", `"203.0.113.7"`, "203.0.113.7"},
		{"10.0.0.1", `"[2001:db8:2::7]:80"`, "2001:db8:2::7"},
		{"10.0.0.1", `"203.0.113.7`, ""},
		{"10.0.0.1", `""`, ""},
		{"10.0.0.1", "null", ""},
		{"10.0.0.1", " ", ""},
		{"10.0.0.1", "for=203.0.113.7", ""},
		{"10.0.0.1", "203.0.113.7/32", ""},
		{"10.0.0.1", "0.0.0.0", ""},
		{"10.0.0.1", "::", ""},
		{"10.0.0.1", "fe80::7%" + strings.Repeat("x", 100), ""},
		{"10.0.0.1", strings.Repeat("10.0.0.9, ", 1000) + strings.Repeat("10.0.0.2, ", 31) + "10.0.0.3", ""},
	} {
		var lines []string
		if c.lines != "" {
			lines = strings.Split(c.lines, "|")
		}
		if got := proxies.client(from(c.peer, lines...)); got.IsValid() != (c.want != "") || got.IsValid() && got.String() != c.want {
			t.Errorf("%s with %.100q: %s, not %s", c.peer, lines, got, c.want)
		}
		unproxied := netip.MustParseAddr(c.peer).Unmap().WithZone("")
		if got := trusted(nil).client(from(c.peer, lines...)); got != unproxied {
			t.Errorf("%s with %.100q, trusting nobody: %s", c.peer, lines, got)
		}
	}
}

func TestTheOtherHeadersOfATrustedProxy(t *testing.T) {
	proxies := networks(t, "10.0.0.0/8", "2001:db8:1::/48")
	for _, c := range []struct {
		headers string // with | between them
		want    string
	}{
		{"X-Real-IP: 203.0.113.7", "203.0.113.7"},
		{"x-real-ip: [2001:db8:2::7]:80", "2001:db8:2::7"},
		{"X-Real-IP: ::ffff:203.0.113.7", "203.0.113.7"},
		{"X-Real-IP: 8.8.8.8|X-Real-IP: 203.0.113.7", "203.0.113.7"},
		{"X-Real-IP: unknown", ""},
		{"X-Real-IP: 10.0.0.2", ""},
		{"X-Real-IP: 203.0.113.7, 8.8.8.8", ""},
		{"Forwarded: for=203.0.113.7", "203.0.113.7"},
		{"Forwarded: For=203.0.113.7;proto=https;by=10.0.0.1", "203.0.113.7"},
		{"Forwarded: proto=https; for=\"203.0.113.7:4711\"", "203.0.113.7"},
		{"Forwarded: for=\"[2001:db8:2::7]:4711\"", "2001:db8:2::7"},
		{"Forwarded: for=\"[2001:db8:2::7]\"", "2001:db8:2::7"},
		{"Forwarded: for=8.8.8.8, for=203.0.113.7", "203.0.113.7"},
		{"Forwarded: for=8.8.8.8, for=203.0.113.7;host=x, for=10.0.0.2", "203.0.113.7"},
		{"Forwarded: for=203.0.113.7|Forwarded: for=\"[2001:db8:1::2]\"", "203.0.113.7"},
		{"Forwarded: for=203.0.113.7, for=unknown", ""},
		{"Forwarded: for=203.0.113.7, for=_hidden", ""},
		{"Forwarded: for=203.0.113.7, proto=http", ""},
		{"Forwarded: for=\"203.0.113.7", ""},
		{"Forwarded: 203.0.113.7", ""},
		{"Forwarded: for", ""},
		{"CF-Connecting-IP: 203.0.113.7", ""},
		// X-Forwarded-For comes first, and nothing stands in for what it does not say.
		{"X-Forwarded-For: 203.0.113.7|X-Real-IP: 8.8.8.8|Forwarded: for=8.8.8.8", "203.0.113.7"},
		{"X-Forwarded-For: unknown|X-Real-IP: 8.8.8.8", ""},
		{"X-Forwarded-For: |X-Real-IP: 203.0.113.7", "203.0.113.7"},
		{"X-Real-IP: 203.0.113.7|Forwarded: for=8.8.8.8", "203.0.113.7"},
		{"X-Real-IP: unknown|Forwarded: for=8.8.8.8", ""},
	} {
		for peer, want := range map[string]string{"10.0.0.1": c.want, "198.51.100.1": "198.51.100.1"} {
			ctx := from(peer)
			for _, header := range strings.Split(c.headers, "|") {
				name, value, _ := strings.Cut(header, ": ")
				ctx.Request.Header.Add(name, value)
			}
			if got := proxies.client(ctx); got.IsValid() != (want != "") || got.IsValid() && got.String() != want {
				t.Errorf("%s with %s: %v, not %q", peer, c.headers, got, want)
			}
		}
	}
}

func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{"for=203.0.113.7", `for="[::1]:80";by=x, for=10.0.0.1`, "for", `for="`, ";;=,"} {
		f.Add(seed)
	}
	proxies := networks(f, "10.0.0.0/8", "127.0.0.1")
	f.Fuzz(func(t *testing.T, line string) {
		ctx := from("127.0.0.1")
		ctx.Request.Header.Set("Forwarded", line)
		if got := proxies.client(ctx); got != got.Unmap().WithZone("") || got.IsValid() && got.IsUnspecified() {
			t.Fatalf("%q: %v", line, got)
		}
		ctx.Request.Header.Add("Forwarded", "for=203.0.113.7, for=10.0.0.1")
		if got := proxies.client(ctx); got.String() != "203.0.113.7" {
			t.Fatalf("%q: spoofed %v", line, got)
		}
	})
}

func TestAClientThatIsNotOnANetworkHasNoAddress(t *testing.T) {
	everybody := networks(t, "0.0.0.0/0", "::/0")
	for _, address := range []net.Addr{nil, &net.UnixAddr{Name: "/run/aka"}, &net.TCPAddr{}, &net.TCPAddr{IP: net.IPv6unspecified}, &net.TCPAddr{IP: net.IP{1, 2, 3}}} {
		var request fasthttp.Request
		request.Header.Set("X-Forwarded-For", "203.0.113.7")
		ctx := &fasthttp.RequestCtx{}
		ctx.Init(&request, address, nil)
		if got := everybody.client(ctx); got.IsValid() {
			t.Errorf("%v is %s", address, got)
		}
	}
}

func TestFindingTheClientAllocatesNothingWithoutProxies(t *testing.T) {
	ctx := from("2001:db8::1", "203.0.113.7")
	var unused trusted
	if n := testing.AllocsPerRun(100, func() { unused.client(ctx) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzClient(f *testing.F) {
	for _, seed := range []string{"203.0.113.7, 10.0.0.1:80", "[::1]:80,::ffff:10.1.1.1", ",,", "fe80::1%a,b"} {
		f.Add(seed, "10.0.0.2")
	}
	proxies := networks(f, "10.0.0.0/8", "127.0.0.1")
	f.Fuzz(func(t *testing.T, first, second string) {
		got := proxies.client(from("127.0.0.1", first, second))
		if got != got.Unmap().WithZone("") || got.IsValid() && got.IsUnspecified() {
			t.Fatalf("%q and %q: %v", first, second, got)
		}
		// What a client wrote itself changes nothing once a proxy has said who that is.
		if got := proxies.client(from("127.0.0.1", first, second, "203.0.113.7, 10.0.0.1")); got.String() != "203.0.113.7" {
			t.Fatalf("%q and %q: spoofed %v", first, second, got)
		}
		if got := proxies.client(from("203.0.113.7", first, second)); got.String() != "203.0.113.7" {
			t.Fatalf("%q and %q: spoofed %v", first, second, got)
		}
	})
}

// overTCP lets the stand's client come over a real connection. It skips the test where the machine lacks the address.
func (s *stand) overTCP(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if opError := (*net.OpError)(nil); errors.As(err, &opError) && strings.Contains(address, ":") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(listener) }()
	t.Cleanup(func() {
		if err := s.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	s.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
	}}}
	t.Cleanup(s.client.CloseIdleConnections)
}

// keptIP sends a body, which must be taken, and returns the context.ip of the call that was kept last; "" for none.
func (s *stand) keptIP(t *testing.T, path, body string, headers ...string) string {
	t.Helper()
	if got := s.send(t, "POST", path, body, headers...); got.StatusCode != 200 {
		t.Fatalf("%s: %d %s", path, got.StatusCode, got.body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	call, err := s.entries[len(s.entries)-1].Decode()
	if err != nil {
		t.Fatal(err)
	}
	ip, _ := call.Context()["ip"].(string)
	return ip
}

const key = "X-Write-Key: " + testKey

func page(members string) string { return `{"type":"page","userId":"u"` + members + `}` }

func batchOfPages(members string) string { return `{"batch":[` + page("") + `]` + members + `}` }

func TestADevicesCallGetsItsAddressAndAServersDoesNot(t *testing.T) {
	s := start(t, testConfig())
	s.overTCP(t, "127.0.0.1")
	const forged = "X-Forwarded-For: 203.0.113.7"
	for path, want := range map[string]string{
		"/v1/p": "127.0.0.1", "/p": "127.0.0.1", "/v1/page": "", "/api/s/page": "127.0.0.1", "/api/s/s2s/page": "",
	} {
		if got := s.keptIP(t, path, page(""), key, forged); got != want {
			t.Errorf("%s: %q, not %q", path, got, want)
		}
		if got := s.keptIP(t, path, page(`,"context":{"ip":"198.51.100.9"}`), key); got != "198.51.100.9" {
			t.Errorf("%s with an ip of its own: %q", path, got)
		}
		if got := s.keptIP(t, path, page(`,"context":{"direct":true}`), key); got != "127.0.0.1" {
			t.Errorf("%s, direct: %q", path, got)
		}
	}
	for path, want := range map[string]string{"/v1/b": "127.0.0.1", "/beacon/v1/batch": "127.0.0.1", "/v1/batch": "", "/v1/import": ""} {
		if got := s.keptIP(t, path, batchOfPages(""), key, forged); got != want {
			t.Errorf("%s: %q, not %q", path, got, want)
		}
		if got := s.keptIP(t, path, batchOfPages(`,"context":{"direct":true}`), key, forged); got != "127.0.0.1" {
			t.Errorf("%s, direct: %q", path, got)
		}
	}
	if got := s.keptIP(t, "/v1/t", `{"event":"e","userId":"u"}`, key); got != "127.0.0.1" {
		t.Errorf("/v1/t: %q", got)
	}
	// RudderStack's SDK for browsers sends where servers send.
	if got := s.keptIP(t, "/v1/batch", batchOfPages(""), key, "Origin: https://app.example"); got != "127.0.0.1" {
		t.Errorf("/v1/batch from a page: %q", got)
	}
}

func TestAnIPv6DeviceHasItsAddress(t *testing.T) {
	s := start(t, testConfig())
	s.overTCP(t, "::1")
	if got := s.keptIP(t, "/v1/p", page(""), key); got != "::1" {
		t.Error(got)
	}
}

func TestATrustedProxySaysWhoCalled(t *testing.T) {
	config := testConfig()
	config.TrustedProxies = networks(t, "127.0.0.0/8")
	s := start(t, config)
	s.overTCP(t, "127.0.0.1")
	if got := s.keptIP(t, "/v1/p", page(""), key, "X-Forwarded-For: 8.8.8.8, 203.0.113.7, 127.0.0.2"); got != "203.0.113.7" {
		t.Error(got)
	}
	for _, header := range []string{"X-Nothing: here", "X-Forwarded-For: unknown", "X-Forwarded-For: 203.0.113.7,", "X-Real-IP: 127.0.0.3", "Forwarded: for=_x"} {
		if got := s.keptIP(t, "/v1/p", page(""), key, header); got != "" {
			t.Errorf("%s: the proxy's own address %q is kept", header, got)
		}
	}
	for _, header := range []string{"X-Real-IP: 203.0.113.7", `Forwarded: for="203.0.113.7:4711"`} {
		if got := s.keptIP(t, "/v1/p", page(""), key, header); got != "203.0.113.7" {
			t.Errorf("%s: %q", header, got)
		}
	}
}

func TestNothingIsFilledInForAnUnknownClient(t *testing.T) {
	s := start(t, testConfig())
	if got := s.keptIP(t, "/v1/p", page(`,"context":{"direct":true}`), key, "X-Forwarded-For: 203.0.113.7"); got != "" {
		t.Error(got)
	}
}

func TestASourceSaysWhatBecomesOfAddresses(t *testing.T) {
	config := testConfig()
	config.TrustedProxies = networks(t, "127.0.0.1")
	for _, policy := range []segment.IPPolicy{segment.KeepIP, segment.AnonymizeIP, segment.DropIP} {
		config.Sources[string(policy)] = Source{WriteKey: adapter.NewSecret("key-" + string(policy)), IP: policy}
	}
	s := start(t, config)
	s.overTCP(t, "127.0.0.1")
	forwarded := "X-Forwarded-For: 203.0.113.7"
	for policy, want := range map[string]struct{ own, envelopes, filled string }{
		"keep":      {"198.51.100.9", "2001:db8:1:2::3", "203.0.113.7"},
		"anonymize": {"198.51.100.0", "2001:db8:1::", "203.0.113.0"},
		"drop":      {"", "", ""},
	} {
		inBody, inHeader := `,"writeKey":"key-`+policy+`"`, "X-Write-Key: key-"+policy
		for name, got := range map[string]string{
			"header": s.keptIP(t, "/v1/page", page(`,"context":{"ip":"198.51.100.9"}`), inHeader),
			"body":   s.keptIP(t, "/v1/page", page(`,"context":{"ip":"198.51.100.9"}`+inBody)),
		} {
			if got != want.own {
				t.Errorf("%s, known by the %s: %q, not %q", policy, name, got, want.own)
			}
		}
		envelope := `,"context":{"ip":"2001:db8:1:2::3"}`
		for _, got := range []string{s.keptIP(t, "/v1/batch", batchOfPages(envelope), inHeader), s.keptIP(t, "/v1/b", batchOfPages(envelope+inBody), forwarded)} {
			if got != want.envelopes {
				t.Errorf("%s of an envelope's: %q, not %q", policy, got, want.envelopes)
			}
		}
		for _, got := range []string{s.keptIP(t, "/v1/p", page(""), inHeader, forwarded), s.keptIP(t, "/v1/b", batchOfPages(inBody), forwarded)} {
			if got != want.filled {
				t.Errorf("%s of the client's: %q, not %q", policy, got, want.filled)
			}
		}
	}
}

func TestANetworkIsACIDROrAnAddress(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "10.1.2.3/8": "10.0.0.0/8", "10.1.2.3": "10.1.2.3/32", "::1": "::1/128", "2001:db8::7/32": "2001:db8::/32",
		"::ffff:10.1.2.3": "10.1.2.3/32", "::ffff:10.1.2.3/104": "10.0.0.0/8", "0.0.0.0/0": "0.0.0.0/0",
	} {
		if got := networks(t, text)[0].String(); got != want {
			t.Errorf("%s: %s, not %s", text, got, want)
		}
	}
	for _, text := range []string{"", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0.0", "fe80::1%eth0", "fe80::%eth0/64", "10.0.0.1:80", "[::1]", "10.0.0.0-10.0.0.9", "::ffff:10.0.0.0/8", "::ffff:0:0/95"} {
		if err := new(Network).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
