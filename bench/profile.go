package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"aka/e2e/harness"
)

// freeAddress returns an address without a listener.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// profiled runs what is measured, and keeps profiles of aka from meanwhile where they are asked for: NAME.cpu.pprof of its first
// seconds, and after it what was allocated (heap and allocs), waited for (block) and fought over (mutex).
func (w *world) profiled(name string, run func()) {
	if w == nil || w.Process == nil || w.b.profile == "" {
		run()
		return
	}
	harness.Check(w, os.MkdirAll(w.b.profile, 0o755))
	name = strings.NewReplacer(", ", "-", " ", "-").Replace(name)
	seconds := max(1, int(w.b.duration/rounds/time.Second))
	cpu := make(chan error, 1)
	go func() { cpu <- w.profile(name, "cpu", fmt.Sprintf("profile?seconds=%d", seconds)) }()
	run()
	harness.Check(w, <-cpu)
	for _, kind := range []string{"heap", "allocs", "block", "mutex"} {
		harness.Check(w, w.profile(name, kind, kind))
	}
}

func (w *world) profile(name, kind, path string) error {
	ctx, cancel := context.WithTimeout(w.Ctx, time.Minute)
	defer cancel()
	text, err := fetch(ctx, "http://"+w.pprof+"/debug/pprof/"+path)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.b.profile, name+"."+kind+".pprof"), text, 0o644)
}
