package http

import (
	"testing"

	"aka/destinations/adapter/adaptertest"
)

func TestCases(t *testing.T) { adaptertest.Run(t, Vendor, "testdata") }

func FuzzTranslate(f *testing.F) { adaptertest.Fuzz(f, Vendor, "testdata") }

func BenchmarkTranslate(b *testing.B) { adaptertest.Benchmark(b, Vendor, "testdata") }
