// Package adaptertest runs an adapter's golden cases as tests: see package golden for what is in them.
//
// A vendor's tests are these:
//
//	func TestCases(t *testing.T) { adaptertest.Run(t, Vendor, "testdata") }
//
//	func FuzzTranslate(f *testing.F) { adaptertest.Fuzz(f, Vendor, "testdata") }
//
//	func BenchmarkTranslate(b *testing.B) { adaptertest.Benchmark(b, Vendor, "testdata") }
package adaptertest

import (
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"aka/destinations/adapter"
	"aka/destinations/adapter/golden"
	"aka/router/segment"
)

// Run runs every *.yaml file of the folder as a case against the vendor.
func Run(t *testing.T, vendor adapter.Vendor, folder string) {
	t.Helper()
	for _, file := range casesIn(t, folder) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) { golden.Check(t, vendor, file) })
	}
}

// casesIn fails when there are none: a folder that is mistyped would pass.
func casesIn(t testing.TB, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in %s (%v)", folder, err)
	}
	return files
}

// Fuzz feeds arbitrary bytes through the parser to the vendor's adapters, one for each distinct settings of the folder's
// cases: no panic, no modified call, the same outcome twice, and what must hold of every outcome.
func Fuzz(f *testing.F, vendor adapter.Vendor, folder string) {
	adapters, secrets := seed(f, vendor, folder)
	f.Fuzz(func(t *testing.T, body []byte) {
		result, err := segment.Parse(body, segment.Options{ReceivedAt: golden.ReceivedAt})
		if err != nil {
			return
		}
		for _, message := range result.Messages {
			call, err := message.Decode()
			if err != nil {
				t.Fatalf("a parsed message does not decode: %v", err)
			}
			call.Options = segment.Route(message.Routing, vendor.Names, false).Options
			for _, a := range adapters {
				if golden.Translate(t, a, call, secrets); t.Failed() {
					return
				}
			}
		}
	})
}

// seed adds the call of every case to the corpus, and returns an adapter for each distinct settings, with all secrets.
func seed(f *testing.F, vendor adapter.Vendor, folder string) (adapters map[string]adapter.Adapter, secrets []adapter.Secret) {
	f.Helper()
	adapters = map[string]adapter.Adapter{}
	for _, file := range casesIn(f, folder) {
		c := golden.Load(f, file)
		if c.SettingsError != "" {
			continue
		}
		key, err := yaml.Marshal(&c.Settings)
		if err != nil {
			f.Fatalf("%s: %v", file, err)
		}
		if adapters[string(key)] == nil {
			a, own, err := c.Build(vendor)
			if err != nil {
				f.Fatalf("%s: %v", file, err)
			}
			adapters[string(key)], secrets = a, append(secrets, own...)
		}
		f.Add(c.Body(f))
	}
	return adapters, secrets
}

// Benchmark measures Translate alone, for the first of the folder's cases of each call type that sends something.
func Benchmark(b *testing.B, vendor adapter.Vendor, folder string) {
	b.Helper()
	measured := map[segment.Type]bool{}
	for _, file := range casesIn(b, folder) {
		c := golden.Load(b, file)
		if c.Send == nil {
			continue
		}
		call := c.CallFor(b, vendor)
		if measured[call.Type] {
			continue
		}
		measured[call.Type] = true
		a, _, err := c.Build(vendor)
		if err != nil {
			b.Fatalf("%s: %v", file, err)
		}
		b.Run(call.Type.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if outcome := a.Translate(call); len(outcome.Requests) == 0 {
					b.Fatal(golden.Describe(outcome))
				}
			}
		})
	}
}
