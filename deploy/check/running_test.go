package check

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// running is the aka of deploy/compose.yaml, with its config and its simulated vendors, as processes of this machine.
type running struct {
	api, admin, token string
}

// waitingTime is for a machine that is busy: what it waits for takes a second.
const waitingTime = time.Minute

// startAka runs both until the test ends, aka below a program that is named with its arguments, if one is. It speaks https, so
// that there is a certificate to watch.
func startAka(t *testing.T, below ...string) *running {
	t.Helper()
	folder := t.TempDir()
	writeCertificate(t, folder)
	secrets := secretFiles(t, "admin/token", "read/token")
	vendors := startSimulators(t)
	config := strings.NewReplacer(
		`listen: ":8080"`, fmt.Sprintf("listen: \"127.0.0.1:0\"\ntls: { cert_file: %q, key_file: %q }", folder+"/cert.pem", folder+"/key.pem"),
		`listen: ":9090"`, `listen: "127.0.0.1:0"`,
		"http://simulators:9900", vendors,
		"dir: /data", "dir: "+folder+"/data",
		"/run/secrets", secrets,
	).Replace(read(t, "deploy/compose/aka.yaml"))
	write(t, folder+"/config.yaml", config)

	line := append(below, akaBinary, "serve", "--config", folder+"/config.yaml")
	command := exec.Command(line[0], line[1:]...)
	said, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, command)
	var ready struct{ Msg, Listen, Admin string }
	scanUntil(t, said, func(line string) bool { return json.Unmarshal([]byte(line), &ready) == nil && ready.Msg == "ready" })
	return &running{api: "https://" + ready.Listen, admin: "http://" + ready.Admin, token: "of-read/token-and-long-enough"}
}

func startSimulators(t *testing.T) (url string) {
	t.Helper()
	command := exec.Command(akaBinary, "simulate", "--listen", "127.0.0.1:0")
	said, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, command)
	line := scanUntil(t, said, func(line string) bool { return strings.Contains(line, "vero/api/v2") })
	_, url, _ = strings.Cut(line, `endpoint: "`)
	url, _, _ = strings.Cut(url, "/vero")
	return url
}

// start runs a process that ends with the test.
func start(t *testing.T, command *exec.Cmd) {
	t.Helper()
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a program above it, such as strace, keeps signals to itself
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(-command.Process.Pid, syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := command.Wait(); err != nil {
			t.Errorf("%s: %v", strings.Join(command.Args, " "), err)
		}
	})
}

// scanUntil returns the first line that is wanted; those after it are thrown away.
func scanUntil(t *testing.T, from io.Reader, wanted func(line string) bool) string {
	t.Helper()
	var before strings.Builder
	for lines := bufio.NewScanner(from); lines.Scan(); {
		if wanted(lines.Text()) {
			go func() { _, _ = io.Copy(io.Discard, from) }()
			return lines.Text()
		}
		before.WriteString(lines.Text() + "\n")
	}
	t.Fatalf("it ended with\n%s", before.String())
	return ""
}

func writeCertificate(t *testing.T, folder string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
	write(t, filepath.Join(folder, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// send posts calls with a write key and returns the status.
func (r *running) send(t *testing.T, writeKey, path, body string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.api+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(writeKey, "")
	// The certificate is the test's own.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// scrape returns the metrics as a Prometheus gets them, with the token that reads.
func (r *running) scrape(t *testing.T) model.Vector {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("/metrics answers %s", answer.Status)
	}
	samples, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{}, families(t, answer.Body)...)
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

// untilEnded waits until the calls have ended, each of them once at each of three destinations.
func (r *running) untilEnded(t *testing.T, want float64) {
	t.Helper()
	for deadline := time.Now().Add(waitingTime); ; time.Sleep(20 * time.Millisecond) {
		ended := 0.0
		for _, sample := range r.scrape(t) {
			if sample.Metric["__name__"] == "aka_outcomes_total" {
				ended += float64(sample.Value)
			}
		}
		if ended == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v calls have ended, want %v", ended, want)
		}
	}
}
