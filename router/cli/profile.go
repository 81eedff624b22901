//go:build profile

package cli

import (
	"net/http"
	_ "net/http/pprof" // its handlers are what this is for
	"os"
	"runtime"
)

// An aka that is built with the tag profile serves Go's profiles at the address in AKA_PROFILE: for the benchmark. One that is
// built without knows nothing of it.
func init() {
	address := os.Getenv("AKA_PROFILE")
	if address == "" {
		return
	}
	runtime.SetMutexProfileFraction(100)
	runtime.SetBlockProfileRate(10_000)
	go func() { panic(http.ListenAndServe(address, nil)) }()
}
