package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// resident is a process's memory, in bytes.
type resident struct{ now, highest int64 }

// memory reads what a process takes. It is 0 where the system does not say, as outside Linux.
func memory(pid int) (m resident, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if os.IsNotExist(err) {
		return m, nil
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			m.now = kib << 10
		case "VmHWM":
			m.highest = kib << 10
		}
	}
	return m, err
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
