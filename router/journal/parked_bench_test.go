package journal

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// benchQueue is a journal on the disk, and makes batches of calls of 500 B to park in it.
type benchQueue struct {
	j    *Journal
	text []byte // random, so that it does not compress to nothing
	next uint64
}

const benchCall = 500

func newBenchQueue(b *testing.B) *benchQueue {
	j, err := Open(b.Context(), testOptions(b), zap.NewNop(), prometheus.NewRegistry())
	must(b, err)
	b.Cleanup(j.Close)
	random := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	return &benchQueue{j: j, text: base64.RawStdEncoding.AppendEncode(nil, random)}
}

// batch returns the next calls, each in one of so many queues.
func (q *benchQueue) batch(queues uint64) []*Parked {
	calls := make([]*Parked, MaxParked)
	for i := range calls {
		q.next++
		e := entry("u", int(q.next))
		start := int(q.next*7919) % (len(q.text) - benchCall)
		e.JSON = q.text[start : start+benchCall]
		calls[i] = &Parked{Queue: 1 + q.next%queues, Rank: Position{Seq: q.next}, Position: Position{Seq: q.next}, Attempts: 1, Failures: 1, First: e.ReceivedAt, FailingSince: e.ReceivedAt, Entry: e}
	}
	return calls
}

// written is how many bytes this process has handed to the system to write; 0 where it does not say.
func written() (n int) {
	data, _ := os.ReadFile("/proc/self/io")
	for _, line := range bytes.Split(data, []byte("\n")) {
		if value, ok := bytes.CutPrefix(line, []byte("wchar: ")); ok {
			n, _ = strconv.Atoi(string(value))
		}
	}
	return n
}

// BenchmarkPark256 parks 256 calls of 500 B by one write, and says how many bytes are written for one of theirs in the end.
func BenchmarkPark256(b *testing.B) {
	for _, queues := range []uint64{1, 16, 256} {
		b.Run(fmt.Sprint(queues, " queues"), func(b *testing.B) {
			q := newBenchQueue(b)
			park(b, q.j, "vero", q.batch(queues)...)
			before, parked := written(), 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				calls := q.batch(queues)
				parked += len(calls) * benchCall
				b.StartTimer()
				if err := q.j.Park(context.Background(), "vero", calls); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(written()-before)/float64(parked), "written/B")
		})
	}
}

// BenchmarkParkAgain256 parks calls of one queue that are there already.
func BenchmarkParkAgain256(b *testing.B) {
	q := newBenchQueue(b)
	for range 100 {
		park(b, q.j, "vero", q.batch(1)...)
	}
	calls := q.batch(1)
	b.ReportAllocs()
	for b.Loop() {
		if err := q.j.Park(context.Background(), "vero", calls); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUnpark256 removes the first calls of a queue.
func BenchmarkUnpark256(b *testing.B) {
	q := newBenchQueue(b)
	for range 100 {
		park(b, q.j, "vero", q.batch(1)...)
	}
	first := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		park(b, q.j, "vero", q.batch(1)...)
		keys := make([]ParkedKey, MaxParked)
		for i := range keys {
			keys[i] = keyAt(1, int(first)+i)
		}
		first += MaxParked
		b.StartTimer()
		if err := q.j.Unpark(context.Background(), "vero", keys, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadQueue reads 256 calls from the middle of a queue of 50,000. Its time is that of 256.
func BenchmarkReadQueue(b *testing.B) {
	q := newBenchQueue(b)
	for range 200 {
		park(b, q.j, "vero", q.batch(1)...)
	}
	b.ReportAllocs()
	for b.Loop() {
		left := MaxParked
		err := q.j.ReadQueue(context.Background(), "vero", 1, Position{Seq: q.next / 2}, func(*Parked) bool {
			left--
			return left > 0
		})
		if err != nil || left > 0 {
			b.Fatal(left, err)
		}
	}
}
