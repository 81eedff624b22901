package router

import (
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"aka/router/admin"
	"aka/router/config"
	"aka/router/config/configtest"
)

// Every vendor here answers with all that it was sent. The secrets need escaping, in one way or another.
func TestNoSecretIsInADeadLetterNorAnywhereElseThatItIsSeen(t *testing.T) {
	const writeKey = "c4n4ry-wr1te"
	secrets := []string{"c4n4ry+t0ken/1=&", "c4n4ry-s3rv<ice>", `c4n4ry"ap1`, "c4n4ry k3y", "c4n4ry/v3ro"}
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := httputil.DumpRequest(r, true)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(sent)
	}))
	defer vendor.Close()
	data := filepath.Join(t.TempDir(), "data")
	config, err := config.Load(configtest.Write(t, fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: { listen: "127.0.0.1:0" }
journal: { dir: %q }
sources: { test: { write_key: %s } }
delivery: { allow_private: true }
destinations:
  mixpanel: { settings: { token: %q, service_account: { username: user, secret: %q, project_id: 1 }, id_merge: simplified, endpoint: %q } }
  legacy: { type: mixpanel, settings: { token: %q, api_secret: %q, id_merge: legacy, endpoint: %q } }
  kissmetrics: { settings: { api_key: %q, endpoint: %q } }
  vero: { settings: { auth_token: %q, endpoint: %q } }
`, data, writeKey, secrets[0], secrets[1], vendor.URL, secrets[0], secrets[2], vendor.URL, secrets[3], vendor.URL, secrets[4], vendor.URL)), config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	router := New(config, zap.New(core))
	if err := router.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	get := func(url string) string {
		response, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", url, response.StatusCode, err)
		}
		return string(body)
	}
	body := `{"type":"track","userId":"jane","event":"Signed Up","messageId":"m1","writeKey":"` + writeKey + `","context":{"ip":"192.0.2.1"}}`
	response, err := http.Post("http://"+router.Addr()+"/v1/track?writeKey="+writeKey, "application/json", strings.NewReader(body))
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	_ = response.Body.Close()
	base := "http://" + router.AdminAddr()
	(&model{t: t, ctx: t.Context()}).until("the call is a dead letter of each destination", func() bool {
		return strings.Count(get(base+"/dead-letters"), `"message_id":"m1"`) == len(config.Destinations)
	})
	seen := map[string]string{"the list": get(base + "/dead-letters"), "the summary": get(base + "/dead-letters/summary"), "the metrics": get(base + "/metrics")}
	for id := range len(config.Destinations) {
		place := fmt.Sprintf("dead letter %d", id+1)
		if seen[place] = get(fmt.Sprintf("%s/dead-letters/%d", base, id+1)); !strings.Contains(seen[place], "<secret>") && !strings.Contains(seen[place], "kissmetrics") {
			t.Errorf("%s does not show where the secret was: %s", place, seen[place])
		}
	}
	if err := replayAll(t, base); err != nil {
		t.Fatal(err)
	}
	router.Stop(t.Context())
	for _, line := range logs.All() {
		seen["the log"] += fmt.Sprint(line.Message, line.ContextMap(), "\n")
	}
	err = filepath.WalkDir(data, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			content, reading := os.ReadFile(path)
			seen["the file "+entry.Name()] += string(content)
			err = reading
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for place, text := range seen {
		if decoded := decodeAll(text); strings.Contains(decoded, "c4n4ry") {
			t.Errorf("%s holds a secret in base64", place)
		}
		for _, secret := range append(secrets, writeKey, "c4n4ry") {
			for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
				if at := strings.Index(text, form); at >= 0 {
					t.Errorf("%s holds %s: %s", place, form, text[max(at-100, 0):min(at+100, len(text))])
				}
			}
		}
	}
}

// decodeAll decodes all that may be base64, from wherever it may begin.
func decodeAll(text string) (decoded string) {
	for _, run := range regexp.MustCompile(`[A-Za-z0-9+/]{8,}`).FindAllString(text, -1) {
		for from := range 4 {
			part := run[from:]
			bytes, _ := base64.StdEncoding.DecodeString(part[:len(part)/4*4])
			decoded += string(bytes) + "\n"
		}
	}
	return decoded
}

func replayAll(t *testing.T, base string) error {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/dead-letters/replay", nil)
	if err != nil {
		return err
	}
	request.Header.Set(admin.ProofHeader, "1")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %s", response.StatusCode, body)
	}
	return err
}
