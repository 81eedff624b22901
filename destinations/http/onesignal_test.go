package http

import (
	"testing"

	"aka/destinations/adapter"
	"aka/destinations/adapter/adaptertest"
)

// oneSignal is OneSignal by a mapping. The cases have no settings: there is one file for all.
var oneSignal = adapter.Vendor{Names: []string{"OneSignal"}, New: func(adapter.Settings) (adapter.Adapter, error) {
	return New(&section{file: "testdata/onesignal/settings.yaml", variables: map[string]string{"ONESIGNAL_API_KEY": "t0ken"}})
}}

func TestOneSignalAsAMapping(t *testing.T) { adaptertest.Run(t, oneSignal, "testdata/onesignal/cases") }

func BenchmarkVero(b *testing.B) { adaptertest.Benchmark(b, mapped, veroCases) }
