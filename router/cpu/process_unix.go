//go:build unix

package cpu

import (
	"syscall"
	"time"
)

// ofProcess is the time that this process has used of all CPUs.
func ofProcess() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
