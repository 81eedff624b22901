package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aka/e2e/harness"
)

// withFewFiles is an aka that may open so many files only.
func withFewFiles(t *testing.T, files int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "aka")
	script := fmt.Sprintf("#!/bin/sh\nulimit -n %d\nexec %s \"$@\"\n", files, binary)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConnectionsOfSDKsLeaveFilesForOperatorAndVendors(t *testing.T) {
	const files = 256
	w := newWorld(t, harness.Setup{})
	w.Binary = withFewFiles(t, files)
	w.Start()
	warning := `"msg":"limits.connections lowered to fit open files"`
	if log := w.Process.Log.String(); !strings.Contains(log, warning) || !strings.Contains(log, fmt.Sprintf(`"open_files":%d`, files)) {
		t.Error("it does not say that there are fewer connections")
	}
	held := make([]net.Conn, 0, 2*files)
	for range cap(held) {
		conn, err := (&net.Dialer{}).DialContext(w.Ctx, "tcp", strings.TrimPrefix(w.Process.API, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// One that was turned away may be closed by now.
		_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: aka\r\n\r\n")
		held = append(held, conn)
	}
	most := w.Metric("aka_ingress_connections_max")
	w.Until("as many are open as may be", func() bool { return w.Metric("aka_ingress_connections") >= most })
	if open := w.Metric("process_open_fds"); open >= files {
		t.Errorf("%v files are open", open)
	}
	answer, err := http.Get(w.Process.Admin + "/healthz")
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("the operator's answer is %v, %v", answer, err)
	}
	_ = answer.Body.Close()
	if !slices.ContainsFunc(held, takesACall) {
		t.Error("a call is taken over none of the connections")
	}
	for _, d := range destinations {
		account := w.Account(d.Name)
		if err := account.Wait(w.Ctx, func() bool { return len(account.Records()) > 0 }); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
}

// takesACall sends a call behind the first request of a connection, which may have been closed.
func takesACall(conn net.Conn) bool {
	const call = `{"userId":"u","event":"bought"}`
	_, _ = fmt.Fprintf(conn, "POST /v1/track HTTP/1.1\r\nHost: aka\r\nX-Write-Key: %s\r\nContent-Length: %d\r\n\r\n%s", writeKey, len(call), call)
	answers := bufio.NewReader(conn)
	for range 2 {
		answer, err := http.ReadResponse(answers, nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			return false
		}
		_, _ = io.Copy(io.Discard, answer.Body)
	}
	return true
}
