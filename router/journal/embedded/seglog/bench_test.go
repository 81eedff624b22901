package seglog

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"aka/router/journal/engine"
)

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{500, 50_000} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			l, err := Open(b.TempDir(), Options{})
			must(b, err)
			defer func() { _ = l.Close() }()
			frames, last := [][]byte{noise[:size]}, uint64(0)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if last, err = l.Append(frames, last, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{500, 50_000} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			l, err := Open(b.TempDir(), Options{})
			must(b, err)
			defer func() { _ = l.Close() }()
			var batch [][]byte
			for range 1 << 20 / size {
				batch = append(batch, noise[:size])
			}
			for last := uint64(0); last*uint64(size) < 64<<20; {
				last, err = l.Append(batch, last, 0)
				must(b, err)
			}
			r := l.Reader(1)
			defer r.Close()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				_, err := r.Next(context.Background())
				if errors.Is(err, engine.ErrEnd) {
					r.Seek(1)
				} else if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
