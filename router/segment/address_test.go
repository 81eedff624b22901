package segment

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// peer is the client of these tests' bodies.
var peer = netip.MustParseAddr("203.0.113.77")

// ipOf returns what the destinations get as the ip of the body's only call; "" for nothing.
func ipOf(t *testing.T, body string, options Options) string {
	t.Helper()
	call, err := only(t, body, options).Decode()
	if err != nil {
		t.Fatal(err)
	}
	ip, _ := call.Context()["ip"].(string)
	return ip
}

// only parses a body of one call.
func only(t *testing.T, body string, options Options) *Message {
	t.Helper()
	options.ReceivedAt = receivedAt
	result, err := Parse([]byte(body), options)
	if err != nil || len(result.Messages) != 1 {
		t.Fatalf("%s: %v %+v", body, err, result)
	}
	return &result.Messages[0]
}

func TestWhoseAddressACallHas(t *testing.T) {
	const own, envelopes = `"ip":"198.51.100.9"`, `"ip":"192.0.2.8"`
	for _, c := range []struct {
		call, envelope  string // what their contexts say
		device, server  string // the ip, where the call comes from one
		direct          string // from a server, and direct
		anonymizedFirst string // whose network is kept, where it comes from a device
	}{
		{``, ``, "203.0.113.77", "", "203.0.113.77", "203.0.113.0"},
		{own, ``, "198.51.100.9", "198.51.100.9", "198.51.100.9", "198.51.100.0"},
		{``, envelopes, "192.0.2.8", "192.0.2.8", "192.0.2.8", "192.0.2.0"},
		{own, envelopes, "198.51.100.9", "198.51.100.9", "198.51.100.9", "198.51.100.0"},
		{`"ip":null`, ``, "203.0.113.77", "", "203.0.113.77", "203.0.113.0"},
		{`"ip":""`, ``, "203.0.113.77", "", "203.0.113.77", "203.0.113.0"},
		{`"ip":""`, envelopes, "203.0.113.77", "", "203.0.113.77", "203.0.113.0"},
		{``, `"ip":null`, "203.0.113.77", "", "203.0.113.77", "203.0.113.0"},
		{`"ip":"0"`, ``, "0", "0", "0", ""},
		{`"ip":"0"`, envelopes, "0", "0", "0", ""},
		{`"ip":" 198.51.100.9\t"`, ``, " 198.51.100.9\t", " 198.51.100.9\t", " 198.51.100.9\t", "198.51.100.0"},
		{own + `,"\u0069p":"198.51.100.7"`, ``, "198.51.100.7", "198.51.100.7", "198.51.100.7", "198.51.100.0"},
		{`"description":"ip","x":{"ip":"x"}`, ``, "203.0.113.77", "", "203.0.113.77", "203.0.113.0"},
	} {
		for direct, want := range map[string]string{``: c.server, `"direct":false`: c.server, `"direct":"true"`: c.server, `"direct":true`: c.direct, `"d\u0069rect":true`: c.direct} {
			for _, body := range bodies(join(c.call, direct), c.envelope) {
				batch := strings.HasPrefix(body, `{"batch"`)
				if got := ipOf(t, body, Options{Batch: batch, Client: peer}); got != want {
					t.Errorf("a server's %s: %q, not %q", body, got, want)
				}
				if got := ipOf(t, body, Options{Batch: batch}); got != c.server {
					t.Errorf("an unknown client's %s: %q, not %q", body, got, c.server)
				}
				if got := ipOf(t, body, Options{Batch: batch, Client: peer, Device: true, IPPolicy: KeepIP}); got != c.device {
					t.Errorf("a device's %s: %q, not %q", body, got, c.device)
				}
				if got := ipOf(t, body, Options{Batch: batch, Client: peer, Device: true, IPPolicy: AnonymizeIP}); got != c.anonymizedFirst {
					t.Errorf("a device's %s, anonymized: %q, not %q", body, got, c.anonymizedFirst)
				}
				for _, policy := range []IPPolicy{DropIP, "of another version"} {
					if m := only(t, body, Options{Batch: batch, Client: peer, Device: true, IPPolicy: policy}); len(ipsIn(t, m.JSON)) > 0 {
						t.Errorf("%s of %s: %s", policy, body, m.JSON)
					}
				}
			}
		}
	}
}

// bodies returns a batch of a call with these members in its context, and of these in the envelope's; where the envelope says
// nothing, the single call too.
func bodies(call, envelope string) []string {
	single := `{"type":"page","userId":"u","context":{` + call + `}}`
	batch := `{"batch":[` + single + `],"context":{` + envelope + `}}`
	switch {
	case envelope != "":
		return []string{batch}
	case call == "":
		none := `{"type":"page","userId":"u"}`
		return []string{single, batch, none, `{"batch":[` + none + `]}`, `{"type":"page","context":null,"userId":"u"}`, `{"context":[],"type":"page","userId":"u"}`}
	}
	return []string{single, batch}
}

func join(members ...string) string {
	return strings.Join(slices.DeleteFunc(members, func(m string) bool { return m == "" }), ",")
}

// ipsIn returns every ip in every context of a call, those that do not count too.
func ipsIn(t *testing.T, call []byte) (ips []string) {
	t.Helper()
	for _, context := range membersOf(t, call, "context") {
		if context[0] == '{' {
			for _, ip := range membersOf(t, context, "ip") {
				ips = append(ips, string(ip))
			}
		}
	}
	return ips
}

// membersOf reads an object with the standard library.
func membersOf(t *testing.T, object []byte, name string) (values []json.RawMessage) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatalf("%v in %q", err, object)
	}
	for d.More() {
		said, err := d.Token()
		if err != nil {
			t.Fatalf("%v in %q", err, object)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatalf("%v in %q", err, object)
		}
		if said == name {
			values = append(values, value)
		}
	}
	return values
}

func TestAnAddressIsFilledInAndNothingElseIsChanged(t *testing.T) {
	for call, want := range map[string]string{
		`{"type":"page","userId":"u"}`:                             `{"type":"page","userId":"u","context":{"ip":"203.0.113.77"}}`,
		`{"type":"page", "context" : { } ,"userId":"u"}`:           `{"type":"page", "context" : { "ip":"203.0.113.77"} ,"userId":"u"}`,
		`{"context":{"a": 1.0 },"type":"page","userId":"u"}`:       `{"context":{"a": 1.0 ,"ip":"203.0.113.77"},"type":"page","userId":"u"}`,
		`{"context":[],"type":"page","userId":"u"}`:                `{"context":{"ip":"203.0.113.77"},"type":"page","userId":"u"}`,
		`{"context":{"ip":null},"type":"page","userId":"u"}`:       `{"context":{"ip":null,"ip":"203.0.113.77"},"type":"page","userId":"u"}`,
		`{"writeKey":"k","context":{},"type":"page","userId":1}`:   `{"context":{"ip":"203.0.113.77"},"type":"page","userId":1}`,
		`{"context":{"a":1},"context":7,"type":"page","userId":1}`: `{"context":{"a":1},"context":{"ip":"203.0.113.77"},"type":"page","userId":1}`,
	} {
		if got := string(only(t, call, Options{Client: peer, Device: true}).JSON); got != want {
			t.Errorf("%s:\n got %s\nwant %s", call, got, want)
		}
	}
}

func TestWhatIsFilledInCountsTowardsNoLimit(t *testing.T) {
	call := `{"type":"page","userId":"u","pad":"` + strings.Repeat("x", 1000) + `"}`
	limits := Limits{CallBytes: len(call)}
	if got := ipOf(t, call, Options{Client: peer, Device: true, Limits: limits}); got != peer.String() {
		t.Error(got)
	}
	if got := refusal(t, call[:len(call)-1]+" }", Options{Client: peer, Device: true, Limits: limits}); got != "call_too_large" {
		t.Errorf("a byte more: %q", got)
	}
}

func TestTheClientsAddressIsWrittenInOneForm(t *testing.T) {
	for given, want := range map[string]string{
		"::ffff:203.0.113.77": "203.0.113.77",
		"2001:db8::0:1":       "2001:db8::1",
		`fe80::1%"},"x":{"`:   "fe80::1",
	} {
		body := `{"type":"page","userId":"u"}`
		if got := ipOf(t, body, Options{Client: netip.MustParseAddr(given), Device: true}); got != want {
			t.Errorf("%s: %q, not %q", given, got, want)
		}
	}
}

func TestAnonymizedIsTheNetwork(t *testing.T) {
	for given, want := range map[string]string{
		"198.51.100.9":               "198.51.100.0",
		"198.51.100.0":               "198.51.100.0",
		"::ffff:198.51.100.9":        "198.51.100.0",
		"::FFFF:C633:6409":           "198.51.100.0",
		"2001:db8:1:2:3:4:5:6":       "2001:db8:1::",
		"2001:db8:1:2::3%eth0":       "2001:db8:1::",
		"64:ff9b::198.51.100.9":      "64:ff9b::",
		"2002:c633:6409:1::1":        "2002:c633:6400::",
		"::1":                        "::",
		"198.51.100.9, 198.51.100.7": "",
		"198.51.100.256":             "",
		"localhost":                  "",
		"0":                          "",
	} {
		body := fmt.Sprintf(`{"type":"page","userId":"u","context":{"ip":%q}}`, given)
		if got := ipOf(t, body, Options{IPPolicy: AnonymizeIP}); got != want {
			t.Errorf("%s: %q, not %q", given, got, want)
		}
		if got := ipOf(t, `{"type":"page","userId":"u"}`, options(given)); want != "" && got != want {
			t.Errorf("%s of the client: %q, not %q", given, got, want)
		}
	}
}

// options are those of an anonymized device of the address, if it is one.
func options(client string) Options {
	ip, _ := netip.ParseAddr(client)
	return Options{Client: ip, Device: true, IPPolicy: AnonymizeIP}
}

func TestAHiddenAddressIsNowhereInTheCall(t *testing.T) {
	const address = "198.51.100.123"
	for _, context := range []string{
		`{"ip":"A"}`, `{"a":1,"ip":"A","b":2}`, `{"ip":"A","a":1}`, `{"a":1,"ip":"A"}`, `{ "ip" : "A" , "ip":"A"}`,
		`{"\u0069p":"A"}`, `{"\u0069\u0070":"A","x":"\n"}`, `{"ip":" A "}`, `{"ip":"A, A"}`, `{"ip":"A:80"}`,
		`{"ip":["A"]}`, `{"ip":{"ip":"A"}}`, `{"ip":"A","ip":null}`, `{"ip":null,"ip":"A"}`, `{"ip":"A","ip":7}`,
		`"A"`, `["A"]`, `[{"ip":"A"}]`, `"{\"ip\":\"A\"}"`,
		`{"ip":"A"},"context":null`, `{"ip":"A"},"context":{}`, `{"ip":"A"},"context":"A"`, `{},"context":{"ip":"A"}`,
		`{"ip":"A"},"writeKey":"k","con\u0074ext":{"ip":"A"},"context":{"b":2}`, `["A"],"context":[]`,
	} {
		context = strings.ReplaceAll(context, "A", address)
		call := `{"writeKey":"k","type":"page","context":` + context + `,"userId":"u"}`
		bodies := []string{
			call, `{"batch":[` + call + `]}`, `{"batch":[` + call + `],"context":{"ip":"` + address + `","c":3}}`,
			`{"batch":[` + call + `],"context":{"c":3}}`, `{"batch":[{"type":"page","userId":"u"}],"context":` + context + `}`,
			`{"batch":[{"type":"page","userId":"u","context":{"x":NaN}}],"context":` + context + `}`,
		}
		for _, body := range bodies {
			for _, policy := range []IPPolicy{AnonymizeIP, DropIP} {
				for _, o := range []Options{{}, {Client: netip.MustParseAddr(address)}, {Client: netip.MustParseAddr(address), Device: true}} {
					o.Batch, o.IPPolicy = strings.HasPrefix(body, `{"batch"`), policy
					m := only(t, body, o)
					if bytes.Contains(m.JSON, []byte(address)) || bytes.Contains(m.Routing, []byte(address)) {
						t.Errorf("%s of %s: %s", policy, body, m.JSON)
					}
					mustHold(t, *m)
				}
			}
		}
	}
}

func TestWhatIsNoAddressOfAContextIsKeptWhenHiding(t *testing.T) {
	call := `{"type":"page","userId":"u","ip":"1.2.3.4","context":{"a": [1, 2],"ip":"1.2.3.4","device":{"ip":"1.2.3.4"},"big":12345678901234567890.10,"odd":"\u00e9\/"},"context.ip":"1.2.3.4"}`
	want := `{"type":"page","userId":"u","ip":"1.2.3.4","context":{"a":[1, 2],"device":{"ip":"1.2.3.4"},"big":12345678901234567890.10,"odd":"\u00e9\/"},"context.ip":"1.2.3.4"}`
	if got := string(only(t, call, Options{IPPolicy: DropIP}).JSON); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	none := `{ "type":"page","userId":"u" , "x":{"ip":"1.2.3.4"}}`
	if got := string(only(t, none, Options{IPPolicy: DropIP}).JSON); got != none {
		t.Errorf("\n got %s\nwant %s", got, none)
	}
}

func TestAnOddContextIsStillCountedWhenHidden(t *testing.T) {
	body := `{"type":"page","userId":"u","context":["198.51.100.9"]}`
	if got := warningsOf(t, body, Options{IPPolicy: DropIP}); !slices.Equal(got, []string{"invalid_context"}) {
		t.Error(got)
	}
}

func TestThePolicyIsThatOfTheSourceThatIsAdmitted(t *testing.T) {
	admit := func(key string) (IPPolicy, bool) {
		return map[string]IPPolicy{"a": AnonymizeIP, "d": DropIP, "k": KeepIP}[key], true
	}
	for key, want := range map[string]string{"a": "198.51.100.0", "d": "", "k": "198.51.100.9", "other": "198.51.100.9"} {
		for _, body := range []string{
			`{"type":"page","userId":"u","context":{"ip":"198.51.100.9"},"writeKey":"` + key + `"}`,
			`{"batch":[{"type":"page","userId":"u"}],"context":{"ip":"198.51.100.9"},"writeKey":"` + key + `"}`,
			`{"context":{"ip":"198.51.100.9"},"batch":[{"type":"page","userId":"u","writeKey":"` + key + `"}]}`,
		} {
			batch := strings.Contains(body, `"batch"`)
			if got := ipOf(t, body, Options{Batch: batch, IPPolicy: DropIP, Admit: admit}); got != want {
				t.Errorf("%s: %q, not %q", body, got, want)
			}
		}
	}
}

// FuzzAddress puts any context into a call and into its envelope, and checks that what is hidden is gone, and that what is
// kept is one network.
func FuzzAddress(f *testing.F) {
	for _, context := range []string{
		`{"ip":"198.51.100.9"}`, `{"\u0069p":"198.51.100.9","ip":"::1"}`, `{"direct":true}`, `["ip"]`, `{"a":1,"ip":{},"b":"\\"}`, `{"ip":"2002:c633:6409::1"}`, `"ip"`, ` { } `,
	} {
		f.Add([]byte(context), []byte(`{"a":1}`), true)
		f.Add([]byte(`{"a":1}`), []byte(context), false)
		f.Add([]byte(context+`,"context":`+context), []byte(`null`), true)
	}
	f.Fuzz(func(t *testing.T, own, envelope []byte, device bool) {
		body := fmt.Appendf(nil, `{"batch":[{"type":"page","userId":"u","context":%s}],"context":%s}`, own, envelope)
		said := map[IPPolicy]string{}
		for _, policy := range []IPPolicy{KeepIP, AnonymizeIP, DropIP} {
			result, err := Parse(body, Options{Batch: true, ReceivedAt: receivedAt, Client: peer, Device: device, IPPolicy: policy})
			if err != nil || len(result.Messages) == 0 {
				return
			}
			m := result.Messages[0]
			mustHold(t, m)
			said[policy] = mustHide(t, m, policy)
			if device && policy == KeepIP && len(ipsIn(t, m.JSON)) == 0 {
				t.Fatalf("nothing was filled in: %s", m.JSON)
			}
		}
		if want := AnonymizeIP.keeps(addressIn(quoted(t, said[KeepIP]))); want.IsValid() != (said[AnonymizeIP] != "") || want.IsValid() && want.String() != said[AnonymizeIP] {
			t.Fatalf("%q became %q", said[KeepIP], said[AnonymizeIP])
		}
	})
}

func quoted(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// mustHide checks every ip of a message, and returns the one that counts.
func mustHide(t *testing.T, m Message, policy IPPolicy) string {
	t.Helper()
	for _, raw := range ipsIn(t, m.JSON) {
		var ip netip.Addr
		if err := json.Unmarshal([]byte(raw), &ip); policy.hides() && (err != nil || policy == DropIP || network(ip) != ip) {
			t.Fatalf("%s left %s (%v): %s", policy, raw, err, m.JSON)
		}
	}
	for _, context := range membersOf(t, m.JSON, "context") {
		if policy.hides() && context[0] != '{' {
			t.Fatalf("%s left a context that is not searched: %s", policy, m.JSON)
		}
	}
	call, err := m.Decode()
	if err != nil {
		t.Fatal(err)
	}
	ip, _ := call.Context()["ip"].(string)
	return ip
}

func TestTheIPOfAContextIsPlain(t *testing.T) {
	for said, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "2001:db8::7": "2001:db8::7", "0": "0", "": "", "x": "x", "::": "::", "203.0.113.7, 10.0.0.1": "203.0.113.7, 10.0.0.1",
		"::ffff:203.0.113.7": "203.0.113.7", "::FFFF:cb00:7107": "203.0.113.7", "203.0.113.7:443": "203.0.113.7", "[2001:db8::7]:443": "2001:db8::7",
		"[2001:db8::7]": "2001:db8::7", "fe80::7%eth0": "fe80::7", "[fe80::7%eth0]:80": "fe80::7", "[::ffff:203.0.113.7]:80": "203.0.113.7",
	} {
		for _, kind := range Types {
			fields := `"type":"` + kind.String() + `","userId":"u","previousId":"p","event":"E"`
			for _, body := range []string{
				`{` + fields + `,"context":{"ip":"` + said + `"}}`,
				`{"batch":[{` + fields + `}],"context":{"ip":"` + said + `"}}`,
			} {
				if got := ipOf(t, body, Options{Batch: body[2] == 'b'}); got != want {
					t.Errorf("%s: %q, not %q", body, got, want)
				}
			}
		}
		hidden := ipOf(t, `{"type":"page","userId":"u","context":{"ip":"`+said+`"}}`, Options{IPPolicy: AnonymizeIP})
		if ip := ParseAddress([]byte(said)); ip.IsValid() && hidden != network(ip).String() {
			t.Errorf("%s, anonymized: %q", said, hidden)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{"203.0.113.7:80", "[::ffff:1.2.3.4%a]:80", `"::1"`, `"`, "[]", "fe80::1%eth0", "0.0.0.0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ip := ParseAddress([]byte(text))
		if ip != PlainAddress(ip) {
			t.Fatalf("%q: %v", text, ip)
		}
		if ip.IsValid() && ParseAddress([]byte(ip.String())) != ip {
			t.Fatalf("%q: %v is not read again", text, ip)
		}
		context := map[string]any{"ip": text}
		plainIP(context)
		if again := map[string]any{"ip": context["ip"]}; again["ip"] != text {
			if plainIP(again); again["ip"] != context["ip"] {
				t.Fatalf("%q became %v, and then %v", text, context, again)
			}
		}
	})
}
