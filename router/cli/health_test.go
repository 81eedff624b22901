package cli

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A config that is being edited is not the one that aka runs by.
func TestWhatAsksARunningAkaNeedsNoMoreOfTheConfigThanAddressAndToken(t *testing.T) {
	a := newRunningWithTokens(t)
	address := strings.TrimPrefix(a.url, "http://")
	flow := fmt.Sprintf("admin: { listen: %q, token_file: %q }\n", address, a.tokens.TokenFile)
	block := fmt.Sprintf("\"admin\":\n  # of the operators\n  listen: %q\n\n  token_file: %q\n", address, a.tokens.TokenFile)
	for name, text := range map[string]string{
		"nothing else":           flow,
		"a mistyped key":         "journall: { dir: ./data }\n" + flow,
		"wrong values":           "listen: wrong\nlimits: { connections: many }\ntls: { cert_file: /nowhere }\n" + block,
		"a missing variable":     "sources: { website: { write_key: \"${A_KEY_THAT_IS_NOT_HERE}\" } }\nlisten: \"${NOR_THIS}\"\n" + flow,
		"a missing file":         "destinations: { vero: { settings: { auth_token_file: /nowhere/token } } }\n" + flow,
		"an unknown vendor":      "destinations: { veroo: }\n" + flow,
		"a list for a section":   "sources: [website]\n" + block,
		"an unclosed brace":      "journal: { dir: ./data\n" + flow,
		"one behind":             flow + "journal: { dir: ./data\n",
		"an unclosed quote":      "journal: { dir: \"./data }\n" + block + "delivery: {}\n",
		"one behind it":          block + "journal: { dir: \"./data }\n",
		"a tab":                  "journal:\n\tdir: ./data\n" + block,
		"half a key":             block + "jour",
		"half a section":         "sources:\n  website\n  app: {}\n" + block + "  \nlisten :8080\n",
		"not UTF-8":              "# K\xf6ln\n" + block,
		"a conflict of a merge":  "<<<<<<< HEAD\nlisten: :8080\n=======\nlisten: :8081\n>>>>>>> other\n" + block,
		"a second document":      block + "---\nlisten: :8080\n",
		"given twice":            "log: {}\nlog: {}\n" + flow,
		"Windows' newlines":      "journal: {\r\n" + strings.ReplaceAll(block, "\n", "\r\n"),
		"a byte order mark":      "\ufeff" + block + "journal: {\n",
		"more in the section":    "listen: {\n" + strings.Replace(block, "  listen", "  hosts: 5\n  hots: [a]\n  listen", 1),
		"a closing brace alone":  "listen: {\n" + strings.NewReplacer("{ ", "{\n  ", " }", "\n}").Replace(flow),
		"a list that is not one": "a: [\n" + flow,
	} {
		path := writeConfig(t, text)
		for _, args := range [][]string{{"health"}, {"dead", "list"}} {
			if got := runAka(t, append(args, "--config", path)...); got.code != exitDone || got.errOut != "" {
				t.Errorf("%s: %v: exit code %d, errors %q", name, args, got.code, got.errOut)
			}
		}
	}
}

func TestWhatKeepsTheAdminAddressFromBeingReadIsSaid(t *testing.T) {
	a := newRunningWithTokens(t)
	address := strings.TrimPrefix(a.url, "http://")
	const way = "; name the address with --admin"
	for text, want := range map[string]string{
		"":                                                  ": the file is empty" + way,
		"admin: { listen: \"127.0.0.1":                      ": not YAML: found unexpected end of stream" + way,
		"a: 1\nadmin:\n\tlisten: :9090\n":                   ":3: a tab in the indentation; YAML takes only spaces there" + way,
		"admin: { listen: [a] }\n":                          ":1: admin.listen: expected one value, not a list" + way,
		"admin: { listn: \":9090\" }\n":                     ":1: admin.listn: unknown key; did you mean listen?" + way,
		"admni: { listen: \":9090\" }\n":                    ":1: admni: unknown key; did you mean admin?" + way,
		"a: {\nadmni: { listen: x }\n":                      ":2: admni: unknown key; did you mean admin?" + way,
		"{ listen: x, admin: { listen: \"127.0.0.1:1\" }\n": ":2: not YAML: did not find expected ',' or '}'" + way,
		"a: {\nadmin: {}\nadmin: {}\n":                      ":3: admin: given twice, first on line 2" + way,
		"admin: {}\nadmin: {}\n":                            ":2: admin: given twice, first on line 1" + way,
		"admin: { listen: \"${NOT_HERE}\" }\n":              ":1: admin.listen: environment variable NOT_HERE is not set" + way,
		"just text\n":                                       ":1: expected a section of keys, as a config has" + way,
	} {
		path := writeConfig(t, text)
		for _, command := range [][]string{{"health"}, {"reload"}, {"dead", "list"}} {
			got := runAka(t, append(command, "--config", path)...)
			if want := "aka: no --admin, and no address in the config: " + path + want + "\n"; got.code != exitFailed || got.errOut != want {
				t.Errorf("%q: %v: exit code %d, errors %q, want %q", text, command, got.code, got.errOut, want)
			}
		}
	}
	for text, want := range map[string]string{
		"token_file: [a]":             ": admin.token_file: expected one value, not a list",
		"token_file: \"${NOT_HERE}\"": ": admin.token_file: environment variable NOT_HERE is not set",
		"tokn_file: a":                ": admin.tokn_file: unknown key; did you mean token_file?",
	} {
		path := writeConfig(t, fmt.Sprintf("admin: { listen: %q, %s }\n", address, text))
		if got := runAka(t, "health", "--config", path); got.code != exitDone {
			t.Errorf("%s: health needs no token: %q", text, got.errOut)
		}
		got := runAka(t, "dead", "list", "--config", path)
		if want := "aka: no token in the config: " + path + ":1" + want + "; give it with --token-file or $AKA_ADMIN_TOKEN\n"; got.code != exitFailed || got.errOut != want {
			t.Errorf("%s: exit code %d, errors %q, want %q", text, got.code, got.errOut, want)
		}
		if got := runAka(t, "dead", "list", "--config", path, "--token-file", a.tokens.TokenFile); got.code != exitDone {
			t.Errorf("%s: with a token of its own: %q", text, got.errOut)
		}
	}
}

func TestHealthSaysWhetherAkaLivesAndIsReady(t *testing.T) {
	aka := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"ready":false,"checks":{"journal":"full"}}`))
		}
	}))
	defer aka.Close()
	guarded := newRunningWithTokens(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unused := closed.Addr().String()
	_ = closed.Close()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--admin", aka.URL}, exitDone, ""},
		{[]string{"--admin", aka.URL, "--ready"}, exitFailed, `/readyz answers 503 Service Unavailable: {"ready":false,"checks":{"journal":"full"}}`},
		{[]string{"--admin", guarded.url}, exitDone, ""},
		{[]string{"--admin", guarded.url, "--token-file", "/nowhere/token"}, exitDone, ""},
		{[]string{"--admin", unused}, exitFailed, "nothing listens at http://" + unused},
		{[]string{"--admin", "9090"}, exitWrongUse, "--admin: expected host:port"},
		{[]string{"now"}, exitWrongUse, ""},
	} {
		got := runAka(t, append([]string{"health"}, c.args...)...)
		if got.code != c.code || !strings.Contains(got.errOut, c.says) {
			t.Errorf("%v: exit code %d, errors %q, want %d, %q", c.args, got.code, got.errOut, c.code, c.says)
		}
	}
}
