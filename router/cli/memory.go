package cli

import (
	"math"
	"os"
	"runtime/debug"

	"go.uber.org/zap"

	"aka/router/strictyaml"
)

// cgroupPercent of the cgroup's memory is the soft limit. The rest is for what Go's runtime does not count, such as the binary.
const cgroupPercent = 90

// memoryLimit is a soft limit on the process's memory, and what set it. 0 bytes are none.
type memoryLimit struct {
	bytes int64
	from  string
}

// limitMemory applies the config's memory_limit to Go's runtime, unless GOMEMLIMIT is in the environment. The log says which
// limit there is then. The garbage collector runs as GOGC says, whose default keeps a million waiting calls within 150 MiB.
func limitMemory(configured strictyaml.AutoSize, log *zap.Logger) {
	limit := memoryLimitOf(configured, "/")
	if os.Getenv("GOMEMLIMIT") != "" {
		limit = memoryLimit{debug.SetMemoryLimit(-1), "GOMEMLIMIT"}
	}
	debug.SetMemoryLimit(limit.forRuntime())
	log.Info("memory limit", zap.Stringer("limit", limit), zap.String("from", limit.from))
}

// memoryLimitOf returns the limit that the config asks for. The cgroup's files are below root.
func memoryLimitOf(configured strictyaml.AutoSize, root string) memoryLimit {
	if configured != strictyaml.Auto {
		return memoryLimit{int64(configured), "memory_limit"}
	}
	bytes, file := cgroupMemory(root)
	if bytes == 0 {
		return memoryLimit{0, "no cgroup limit"}
	}
	whole := int64(strictyaml.MiB)
	return memoryLimit{max(bytes/100*cgroupPercent/whole, 1) * whole, file}
}

// forRuntime is the limit as debug.SetMemoryLimit takes it.
func (l memoryLimit) forRuntime() int64 {
	if l.bytes == 0 {
		return math.MaxInt64
	}
	return l.bytes
}

// String returns the limit as the config would write it, or none.
func (l memoryLimit) String() string {
	if l.forRuntime() == math.MaxInt64 {
		return "none"
	}
	return strictyaml.Size(l.bytes).String()
}
