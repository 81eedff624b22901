package segment

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

var receivedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// benchAlias is some 400 bytes, benchTrack some 1,000.
const benchAlias = `{"type":"alias","messageId":"ajs-next-1767323045000-4b3c2a1d-5e6f-4a7b-8c9d-0e1f2a3b4c5d","timestamp":"2026-01-02T03:04:03.000Z","sentAt":"2026-01-02T03:04:04.000Z","userId":"507f191e810c19729de860ea","previousId":"jen@email.com","integrations":{"All":true,"Vero":false},"context":{"ip":"198.51.100.7","library":{"name":"analytics.js","version":"2.11.1"},"userAgent":"Mozilla/5.0","locale":"en-US"}}`

var benchTrack = `{"type":"track","event":"Order Completed","messageId":"ajs-next-1767323045000-4b3c2a1d-5e6f-4a7b-8c9d-0e1f2a3b4c5d","timestamp":"2026-01-02T03:04:03.000Z","userId":"507f191e810c19729de860ea","anonymousId":"4b3c2a1d-5e6f-4a7b-8c9d-0e1f2a3b4c5d","integrations":{"Segment.io":true},"properties":{"order_id":"50314b8e9bcf000000000000","total":27.50,"currency":"USD","products":[{"product_id":"507f1f77bcf86cd799439011","sku":"45790-32","name":"Monopoly: 3rd Edition","price":19,"quantity":1,"category":"Games"},{"product_id":"505bd76785ebb509fc183733","sku":"46493-32","name":"Uno Card Game","price":3,"quantity":2,"category":"Games"}]},"context":{"ip":"198.51.100.7","userAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)","page":{"path":"/checkout","referrer":"https://app.example/cart","title":"Checkout","url":"https://app.example/checkout"},"library":{"name":"analytics.js","version":"2.11.1"},"locale":"en-US"}}`

func benchBatch() []byte {
	calls := strings.Repeat(benchAlias+",", 99) + benchAlias
	return fmt.Appendf(nil, `{"batch":[%s],"sentAt":"2026-01-02T03:04:04.000Z","writeKey":"k"}`, calls)
}

func BenchmarkParse(b *testing.B) {
	for name, body := range map[string][]byte{"alias": []byte(benchAlias), "track": []byte(benchTrack), "batch100": benchBatch()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(body, Options{Batch: bytes.HasPrefix(body, []byte(`{"batch"`)), ReceivedAt: receivedAt}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAddress is a device's alias that has no ip and gets one, and one whose ip is hidden.
func BenchmarkAddress(b *testing.B) {
	without := []byte(strings.Replace(benchAlias, `"ip":"198.51.100.7",`, "", 1))
	for _, c := range []struct {
		name    string
		body    []byte
		options Options
	}{
		{"server", without, Options{Client: peer}},
		{"filled", without, Options{Client: peer, Device: true}},
		{"own", []byte(benchAlias), Options{Client: peer, Device: true}},
		{"anonymized", []byte(benchAlias), Options{Client: peer, IPPolicy: AnonymizeIP}},
		{"dropped", []byte(benchAlias), Options{Client: peer, IPPolicy: DropIP}},
	} {
		c.options.ReceivedAt = receivedAt
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(c.body, c.options); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, body := range map[string]string{"alias": benchAlias, "track": benchTrack} {
		message := parseOne(b, body)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := message.Decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRoute(b *testing.B) {
	names := []string{"vero-eu", "Vero", "VERO"}
	routing := parseOne(b, benchAlias).Routing
	var routes Routes
	for name, route := range map[string]func([]byte, []string, bool) Decision{"new": Route, "remembered": routes.Route} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if route(routing, names, false).Enabled {
					b.Fatal("Vero is switched off")
				}
			}
		})
	}
}

func parseOne(t testing.TB, body string) Message {
	t.Helper()
	result, err := Parse([]byte(body), Options{ReceivedAt: receivedAt})
	if err != nil {
		t.Fatal(err)
	}
	return result.Messages[0]
}
