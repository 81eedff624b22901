package router

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/zap"

	"aka/router/config"
	"aka/router/config/configtest"
)

// Whatever the admin server answers, the port that SDKs reach does not, and the other way about.
func TestNothingOfTheAdminServerIsOnTheSDKsPort(t *testing.T) {
	dir := t.TempDir()
	const token = "a-token-for-the-admin"
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	config := load(t, configtest.Minimal+fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: { listen: "0.0.0.0:0", token_file: %q }
journal: { dir: %q }
`, filepath.Join(dir, "token"), filepath.Join(dir, "data")), config.LoadOptions{})
	router := New(config, zap.NewNop())
	if err := router.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer router.Stop(t.Context())
	_, port, _ := strings.Cut(strings.ReplaceAll(router.AdminAddr(), "[::]", ""), ":")
	ask := func(method, url string) int {
		request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	table, err := os.ReadFile(filepath.Join("admin", "routes.go"))
	if err != nil {
		t.Fatal(err)
	}
	paths := regexp.MustCompile(`mux\.Handle\("([^"]+)"`).FindAllStringSubmatch(string(table), -1)
	if len(paths) < 10 {
		t.Fatalf("found %q", paths)
	}
	for _, match := range paths {
		path := strings.NewReplacer("{$}", "", "{id}", "1", "{name}", "vero", "{file}", "aka.js").Replace(match[1])
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			want := 404
			switch {
			case path == "/" && method == "GET":
				want = 200 // whether calls are taken
			case path == "/":
				want = 405
			}
			if status := ask(method, "http://"+router.Addr()+path); status != want {
				t.Errorf("%s %s is answered %d where SDKs send", method, path, status)
			}
		}
	}
	for _, path := range []string{"/v1/alias", "/v1/batch", "/v1/m", "/alias", "/v1/projects/dev/settings"} {
		if status := ask("POST", "http://127.0.0.1:"+port+path); status != 404 {
			t.Errorf("%s is answered %d by the admin server", path, status)
		}
	}
}
