//go:build !unix

package cpu

import "time"

// ofProcess is not known here.
func ofProcess() time.Duration { return 0 }
