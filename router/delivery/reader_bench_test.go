package delivery

import (
	"fmt"
	"testing"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/journal/frame"
	"aka/router/reorder"
	"aka/router/segment"
	"aka/router/transform/transformtest"
)

// BenchmarkArrive is what a call costs at a destination whose adapter drops it: without a filter, with one that lets it pass, and
// with ones that leave it out, by the header or by the whole call. The call is decoded once, as for all destinations.
func BenchmarkArrive(b *testing.B) {
	for _, c := range []struct{ name, edits string }{
		{"none", "{}"},
		{"passes", `filter: type != "page" and userId != "qa"`},
		{"filtered", `filter: type == "page" or userId == "qa"`},
		{"filtered whole", `filter: properties.plan == "pro"`},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := benchPipeline(b, nil, nil)
			p.config.Destination.Transform = transformtest.Compile(b, c.edits)
			p.config.Destination.Adapter = dropping{p.config.Destination.Adapter}
			f := frame.New(1, 0, []journal.Entry{with(track("507f191e810c19729de860ea", 1), `{"type":"track","event":"e","properties":{"plan":"free","total":5}}`)}, 0)
			placed := reorder.Placed{Position: journal.Position{Seq: 1}}
			b.ReportAllocs()
			for b.Loop() {
				if a := p.reader.arrive(f, placed); a.dropped == "" {
					b.Fatal(fmt.Sprint("it is sent: ", a))
				}
			}
		})
	}
}

// dropping drops everything.
type dropping struct{ adapter.Adapter }

func (dropping) Translate(*segment.Call) adapter.Outcome { return adapter.Drop(adapter.NothingToSend) }
