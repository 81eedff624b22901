package transform

import (
	"testing"

	"aka/router/segment"
)

var benchBody = []byte(`{"type":"track","event":"Order Completed","messageId":"4b3c2a1d-5e6f-4a7b-8c9d-0e1f2a3b4c5d","userId":"507f191e810c19729de860ea",` +
	`"properties":{"order_id":"50314b8e9bcf000000000000","total":27.50,"card":"4111","products":[{"sku":"45790-32","price":19}]},"context":{"ip":"198.51.100.7"}}`)

// BenchmarkPassesHeader is what a filter costs where the call is not decoded: 0.3 µs at most where there is one, and nothing where
// there is none.
func BenchmarkPassesHeader(b *testing.B) {
	header := callOf(b, benchBody).Header
	for name, filter := range map[string]string{
		"none":       "{}",
		"type":       `filter: type == "track"`,
		"ids":        `filter: type != "page" and not (userId in ["test-1", "qa"])`,
		"properties": `filter: properties.plan != "internal"`, // it is left to Passes
	} {
		p := must(b, filter)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if passes, err := p.PassesHeader(&header); err != nil || !passes {
					b.Fatal(passes, err)
				}
			}
		})
	}
}

// BenchmarkApply is a transform of a decoded call.
func BenchmarkApply(b *testing.B) {
	call := callOf(b, benchBody)
	for name, text := range map[string]string{
		"none":  "{}",
		"drop":  "transform: [{ drop: [properties.card, context.ip] }]",
		"set":   "transform: [{ set: { properties.order_id: '=sha256(properties.order_id)' } }]",
		"never": `transform: [{ when: type == "page", drop: [properties.card] }]`,
	} {
		p := must(b, text)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Apply(call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestPassesHeader_CostsNothingWhereNoFilterIsSet(t *testing.T) {
	header := segment.Header{Type: segment.Track, UserID: "jane"}
	for text, most := range map[string]float64{
		"{}": 0, "transform: [{ drop: [properties.card] }]": 0, `filter: type == "track" and userId != "qa"`: 2,
	} {
		p := must(t, text)
		if got := testing.AllocsPerRun(100, func() { _, _ = p.PassesHeader(&header) }); got > most {
			t.Errorf("%s: %v allocations", text, got)
		}
	}
}
