package router

import (
	"syscall"

	"go.uber.org/zap"

	"aka/router/config"
)

// ownFiles is how many files are left to the journal, which opens most of them, to the admin server and to the log.
const ownFiles = 320

// fitConnections lowers the connections of SDKs to what the process's limit of open files is enough for: they must not keep
// aka from reaching vendors, or its operator from reaching aka. Go has raised the limit to the highest that it may be.
func fitConnections(c *config.Config, log *zap.Logger) (connections int) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return c.Limits.Connections
	}
	connections = connectionsWithin(c, uint64(files.Cur))
	if connections < c.Limits.Connections {
		log.Warn("limits.connections lowered to fit open files",
			zap.Int("connections", connections), zap.Int("configured", c.Limits.Connections), zap.Uint64("open_files", uint64(files.Cur)),
			zap.String("hint", "raise the limit of open files: LimitNOFILE of systemd, ulimits of compose, or ulimit -n"))
	}
	return connections
}

// connectionsWithin leaves each destination a file for each exchange that may be in flight, but half of all files at most.
func connectionsWithin(c *config.Config, files uint64) int {
	others := uint64(ownFiles)
	for _, d := range c.Destinations {
		others += uint64(d.Delivery.MostInFlight(d.Destination))
	}
	return c.Limits.ConnectionsWithin(files - min(others, files/2))
}
