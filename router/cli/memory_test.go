package cli

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"go.uber.org/zap"

	"aka/router/strictyaml"
)

// fakeRoot makes a folder with these files, by their paths below it.
func fakeRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const own = "proc/self/cgroup"

func TestTheLowestLimitOfTheCgroupAndThoseAboveItCounts(t *testing.T) {
	const v1 = "sys/fs/cgroup/memory/"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
		file  string
	}{
		"v2, in a container": {map[string]string{own: "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n"}, 1 << 30, "/sys/fs/cgroup/memory.max"},
		"v2, of its own": {map[string]string{own: "0::/system.slice/aka.service\n", "sys/fs/cgroup/system.slice/aka.service/memory.max": "1000\n"},
			1000, "/sys/fs/cgroup/system.slice/aka.service/memory.max"},
		"v2, of a parent": {map[string]string{own: "0::/a/b/c\n", "sys/fs/cgroup/a/b/c/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.max": "3000\n",
			"sys/fs/cgroup/a/memory.max": "2000\n"}, 2000, "/sys/fs/cgroup/a/memory.max"},
		"v2, seen from a container as outside": {map[string]string{own: "0::/kubepods/pod1/2\n", "sys/fs/cgroup/memory.max": "5000\n"}, 5000, "/sys/fs/cgroup/memory.max"},
		"v2, without":                          {map[string]string{own: "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0, ""},
		"v1, in a container": {map[string]string{own: "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n0::/\n", v1 + "memory.limit_in_bytes": "4096\n"},
			4096, "/" + v1 + "memory.limit_in_bytes"},
		"v1, beside another controller": {map[string]string{own: "4:hugetlb,memory:/a\n", v1 + "a/memory.limit_in_bytes": "4096\n"}, 4096, "/" + v1 + "a/memory.limit_in_bytes"},
		"v1, without":                   {map[string]string{own: "4:memory:/\n", v1 + "memory.limit_in_bytes": "9223372036854771712\n"}, 0, ""},
		"of another tree":               {map[string]string{own: "4:cpu:/\n", v1 + "memory.limit_in_bytes": "4096\n"}, 0, ""},
		"out of the tree":               {map[string]string{own: "0::/../../secret\n", "secret/memory.max": "1\n"}, 0, ""},
		"no cgroups":                    {nil, 0, ""},
		"no text of the kernel's":       {map[string]string{own: "\x00::\n0::/\n0", "sys/fs/cgroup/memory.max": "many\n"}, 0, ""},
	} {
		if limit, file := cgroupMemory(fakeRoot(t, c.files)); limit != c.want || file != c.file {
			t.Errorf("%s: %d of %q, want %d of %q", name, limit, file, c.want, c.file)
		}
	}
}

func TestAutoIsNineTenthsOfTheCgroupsLimit(t *testing.T) {
	limited := fakeRoot(t, map[string]string{own: "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n"})
	tiny := fakeRoot(t, map[string]string{own: "0::/\n", "sys/fs/cgroup/memory.max": "4096\n"})
	for _, c := range []struct {
		configured  strictyaml.AutoSize
		root        string
		want, from  string
		fromRuntime int64
	}{
		{strictyaml.Auto, limited, "921MiB", "/sys/fs/cgroup/memory.max", 921 << 20},
		{strictyaml.Auto, tiny, "1MiB", "/sys/fs/cgroup/memory.max", 1 << 20},
		{strictyaml.Auto, t.TempDir(), "none", "no cgroup limit", math.MaxInt64},
		{strictyaml.AutoSize(strictyaml.GiB), limited, "1GiB", "memory_limit", 1 << 30},
		{0, limited, "none", "memory_limit", math.MaxInt64},
	} {
		if got := memoryLimitOf(c.configured, c.root); got.String() != c.want || got.from != c.from || got.forRuntime() != c.fromRuntime {
			t.Errorf("%s: %s from %q, %d for the runtime; want %s from %q", c.configured, got, got.from, got.forRuntime(), c.want, c.from)
		}
	}
}

func FuzzCgroup(f *testing.F) {
	f.Add("4:memory:/docker/1\n0::/\n", "9223372036854771712\n")
	f.Add("0::/../a//b/.\n", "max\n")
	f.Add(":\n::\n1:memory,:/"+strings.Repeat("a/", 200), "-1")
	f.Fuzz(func(t *testing.T, processes, limit string) {
		for _, h := range hierarchies {
			folders := upwards(cgroupOf(processes, h.controller))
			if len(folders) > maxCgroupDepth+1 {
				t.Fatalf("%d folders", len(folders))
			}
			for i, folder := range folders {
				if folder != filepath.Clean(folder) || !filepath.IsAbs(folder) || (folder == "/") != (i == len(folders)-1) {
					t.Fatalf("%d: %q of %q", i, folder, folders)
				}
			}
		}
		if n := parseCgroupLimit(limit); n < 0 || n >= unlimited {
			t.Fatalf("%q is read as %d", limit, n)
		}
	})
}

// keepMemoryLimit puts the runtime's limit back after a test.
func keepMemoryLimit(t *testing.T) {
	limit := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(limit) })
}

func TestTheEnvironmentsMemoryLimitWins(t *testing.T) {
	keepMemoryLimit(t)
	const configured = strictyaml.AutoSize(100 * strictyaml.MiB)
	t.Setenv("GOMEMLIMIT", "1TiB")
	debug.SetMemoryLimit(1 << 40) // as the runtime does at its start
	limitMemory(configured, zap.NewNop())
	if limit := debug.SetMemoryLimit(-1); limit != 1<<40 {
		t.Errorf("the limit is %d", limit)
	}
	t.Setenv("GOMEMLIMIT", "")
	limitMemory(configured, zap.NewNop())
	if limit := debug.SetMemoryLimit(-1); limit != int64(configured) {
		t.Errorf("the limit is %d", limit)
	}
}

func TestTheLogSaysWhichMemoryLimitThereIs(t *testing.T) {
	vendors := newSimulation(t, "kissmetrics")
	t.Setenv("GOMEMLIMIT", "200MiB")
	process := startProcess(t, "serve", "--config", servingConfig(t, vendors, ""))
	if got := process.line(t, "memory limit"); got.Limit != "200MiB" || got.From != "GOMEMLIMIT" {
		t.Errorf("%+v", got)
	}
}

func TestAReloadSetsAnotherMemoryLimit(t *testing.T) {
	keepMemoryLimit(t)
	t.Setenv("GOMEMLIMIT", "")
	config := servingConfig(t, newSimulation(t, "kissmetrics"), "memory_limit: 1GiB\n")
	server := startServing(t, "serve", "--config", config)
	if got := server.line(t, "memory limit"); got.Limit != "1GiB" || got.From != "memory_limit" {
		t.Errorf("at the start: %+v", got)
	}
	ready := server.line(t, "ready")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(strings.Replace(string(text), "1GiB", "2GiB", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	reloaded := make(chan result, 1)
	go func() { reloaded <- runAka(t, "reload", "--admin", ready.Admin) }()
	if got := server.line(t, "memory limit"); got.Limit != "2GiB" || debug.SetMemoryLimit(-1) != 2<<30 {
		t.Errorf("after a reload: %+v", got)
	}
	server.line(t, "config reloaded")
	if got := <-reloaded; got.code != exitDone {
		t.Errorf("%+v", got)
	}
}
