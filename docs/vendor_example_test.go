package docs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"aka/destinations"
	"aka/destinations/simulator"
	"aka/docs/example/acme"
	"aka/router"
	"aka/router/config"
)

// quote is a file of the module on a page.
var quote = regexp.MustCompile("(?s)<!-- file (\\S+) -->\n```(\\w+)\n.*?```\n")

// With -update the page shows the files as they are.
func TestThePageOnAddingAVendorShowsTheCodeThatIsTested(t *testing.T) {
	addAcme(t)
	p := page{"docs/adding-a-vendor.md", read(t, "docs/adding-a-vendor.md")}
	if found := quote.FindAllString(p.text, -1); len(found) < 5 || len(found) != strings.Count(p.text, "<!-- file ") {
		t.Errorf("%d files that can be read", len(found))
	}
	want := quote.ReplaceAllStringFunc(p.text, func(block string) string {
		m := quote.FindStringSubmatch(block)
		return fmt.Sprintf("<!-- file %s -->\n```%s\n%s```\n", m[1], m[2], read(t, m[1]))
	})
	expect(t, p, withExplanations(t, want, acmeType))
}

// The adapter in the contract's own comment is a package when it is given a name and its imports.
func TestTheAdapterOfTheContractsCommentCompiles(t *testing.T) {
	source := read(t, "destinations/adapter/adapter.go")
	_, code, _ := strings.Cut(source, "is this:\n//\n")
	code, _, found := strings.Cut(code, "\npackage adapter\n")
	if !found {
		t.Fatal("the comment has no adapter")
	}
	text := "package comment\n\nimport (\n\"errors\"\n\"net/http\"\n\n\"aka/destinations/adapter\"\n\"aka/router/segment\"\n)\n\n" +
		regexp.MustCompile(`(?m)^//\t?`).ReplaceAllString(code, "")
	if out, err := buildInModule(t, text); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// buildInModule builds a file as if it were a package of this module.
func buildInModule(t *testing.T, text string) ([]byte, error) {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	source, overlay := filepath.Join(t.TempDir(), "comment.go"), filepath.Join(t.TempDir(), "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, "comment", "comment.go"): source}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(source, []byte(text), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		t.Fatal(err)
	}
	return exec.Command("go", "build", "-overlay", overlay, "./comment").CombinedOutput()
}

// acmeType is the type of the page's vendor in these tests. No folder of Go code can have that name, so a vendor may have acme.
const acmeType = "acme-of-the-page"

// addAcme adds the line of the table for one test.
func addAcme(t *testing.T) {
	destinations.Vendors[acmeType] = acme.Vendor
	t.Cleanup(func() { delete(destinations.Vendors, acmeType) })
}

func TestTheVendorOfThePageGetsCalls(t *testing.T) {
	addAcme(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	sim, err := simulator.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	endpoint, err := sim.Add("acme", acmeType, simulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := startRouter(t, ctx, fmt.Sprintf("destinations: { acme: { type: %s, settings: { api_key: k3y-of-acme, endpoint: %q } } }\n", acmeType, endpoint))
	post(t, r, `{"type":"identify","userId":"jen@email.com","traits":{"plan":"free"}}`)
	post(t, r, `{"type":"alias","previousId":"jen@email.com","userId":"507f191e81"}`)
	post(t, r, `{"type":"track","userId":"507f191e81","event":"Signed Up"}`)
	account := sim.Account("acme")
	if err := account.Wait(ctx, func() bool { return len(account.Exchanges()) == 3 }); err != nil {
		t.Fatalf("%v: Acme got %+v", err, account.Exchanges())
	}
	for i, path := range []string{"/people", "/people/merge", "/events"} {
		if got := account.Exchanges()[i]; got.Path != path || len(got.Records) != 1 {
			t.Errorf("exchange %d is %s with %v", i, got.Path, got.Records)
		}
	}
}

// startRouter runs aka in this process, until the test ends.
func startRouter(t *testing.T, ctx context.Context, vendors string) *router.Router {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	text := fmt.Sprintf(`listen: "127.0.0.1:0"
admin: { listen: "127.0.0.1:0" }
sources: { website: { write_key: dev } }
journal: { dir: %q }
delivery: { allow_private: true }
%s`, filepath.Join(t.TempDir(), "data"), vendors)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := config.Load(path, config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := router.New(config, zap.NewNop())
	if err := r.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Stop(context.WithoutCancel(ctx)) })
	return r
}

// post sends one call, which must be taken.
func post(t *testing.T, r *router.Router, call string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+r.Addr()+"/v1/batch", strings.NewReader(`{"batch":[`+call+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("dev", "")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", call, response.Status)
	}
}
