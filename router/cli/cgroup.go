package cli

import (
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// What is read of the cgroup's files, at most, and how far up its parents are asked. The kernel's own are far below.
const (
	maxCgroupFile  = 64 << 10
	maxCgroupLimit = 64
	maxCgroupDepth = 64
)

// unlimited is what no machine has: cgroup v1 writes "no limit" as a number of this size.
const unlimited = 1 << 60

// hierarchies are the trees of cgroups that may limit memory: what /proc/self/cgroup calls them, where they are mounted, and
// which file of each folder has the limit. The one of v2 has no name.
var hierarchies = []struct{ controller, mount, file string }{
	{"", "sys/fs/cgroup", "memory.max"},
	{"memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes"},
}

// cgroupMemory returns the lowest limit on memory of this process's cgroup and of those above it that can be seen, and the
// file that has it. 0 is none. The files are below root, which is / but in tests.
func cgroupMemory(root string) (limit int64, file string) {
	text, err := readStart(filepath.Join(root, "proc/self/cgroup"), maxCgroupFile)
	if err != nil {
		return 0, "" // no cgroups, or not Linux
	}
	for _, h := range hierarchies {
		for _, folder := range upwards(cgroupOf(text, h.controller)) {
			name := path.Join("/", h.mount, folder, h.file)
			text, err := readStart(filepath.Join(root, name), maxCgroupLimit)
			if err != nil {
				continue // a container sees its own cgroup as the top one, under whichever name it has outside
			}
			if bytes := parseCgroupLimit(text); bytes > 0 && (limit == 0 || bytes < limit) {
				limit, file = bytes, name
			}
		}
	}
	return limit, file
}

// cgroupOf reads /proc/self/cgroup, whose lines are ID:CONTROLLERS:PATH with commas between controllers, and returns the path of
// a controller. It is empty where there is none.
func cgroupOf(text, controller string) string {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) == 3 && strings.HasPrefix(parts[2], "/") && slices.Contains(strings.Split(parts[1], ","), controller) {
			return parts[2]
		}
	}
	return ""
}

// upwards returns a cgroup's path and those of its parents, the top one last. An empty path has none.
func upwards(cgroup string) (all []string) {
	if cgroup == "" {
		return nil
	}
	for folder := path.Clean(cgroup); ; folder = path.Dir(folder) {
		if folder == "/" || len(all) == maxCgroupDepth {
			return append(all, "/")
		}
		all = append(all, folder)
	}
}

// parseCgroupLimit reads a number of bytes. What is no limit, such as max, is 0.
func parseCgroupLimit(text string) int64 {
	bytes, err := strconv.ParseInt(strings.TrimSuffix(text, "\n"), 10, 64)
	if err != nil || bytes < 0 || bytes >= unlimited {
		return 0
	}
	return bytes
}

// readStart returns a file's first bytes, so many at most.
func readStart(name string, most int64) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most))
	return string(text), err
}
