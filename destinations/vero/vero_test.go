package vero

import (
	"testing"

	"aka/destinations/adapter"
	"aka/destinations/adapter/adaptertest"
)

func TestCases(t *testing.T) { adaptertest.Run(t, Vendor, "testdata") }

func FuzzTranslate(f *testing.F) { adaptertest.Fuzz(f, Vendor, "testdata") }

func BenchmarkTranslate(b *testing.B) { adaptertest.Benchmark(b, Vendor, "testdata") }

// A rename of an id that Vero does not know says nothing of the account. A 404 to anything else may be about the endpoint.
func TestARefusedRenameIsAboutThatCallAlone(t *testing.T) {
	for path, want := range map[string]bool{reidentifyPath: false, "/events/track": true} {
		requests := []adapter.Request{{URL: "https://api.getvero.com/api/v2" + path}}
		v := (&translator{}).Judge(requests, adapter.Answer{Status: 404, Body: []byte(`{"status":404,"message":"not found"}`)})[0]
		if v.Class != adapter.Never || v.AboutAccount(404) != want {
			t.Errorf("%s: class %v, about the account: %v", path, v.Class, v.AboutAccount(404))
		}
	}
}
