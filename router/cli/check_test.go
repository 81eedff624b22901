package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const checkedConfig = `
sources: { website: { write_key: write-key-1 } }
destinations:
  vero: { settings: { auth_token: token-1 } }
`

// safeRules are the rules of merges of a config that says nothing.
const safeRules = "known_users hold, device_of_another_user drop, direction drop, max_ids 50 per 7d hold"

func TestCheckShowsTheRulesOfMergesOnceWhereTheyAreTheSame(t *testing.T) {
	config := `
sources: { website: { write_key: write-key-1 } }
destinations:
  kissmetrics: { remember_merges: false, settings: { api_key: key-1 } }
  mixpanel: { settings: { token: token-1, id_merge: legacy } }
  vero: { settings: { auth_token: token-1 } }
  vero-eu: { type: vero, settings: { auth_token: token-2 }, merges: { known_users: drop, blocked_ids: [test-*] } }
`
	want := "merges at kissmetrics: " + safeRules + "; remember_merges is off, so only the rules direction and blocked_ids can fire\n" +
		"merges at mixpanel, vero: " + safeRules + "\n" +
		"merges at vero-eu: " + strings.Replace(safeRules, "known_users hold", "known_users drop", 1) + ", blocked_ids 1\n" +
		"OK: 4 destinations, 1 source\n"
	if got := runAka(t, "check", "--config", writeConfig(t, config)); got.code != exitDone || got.errOut != want {
		t.Errorf("exit code %d, got\n%swant\n%s", got.code, got.errOut, want)
	}
}

func TestCheckShowsTheConfigInEffectWithoutSecrets(t *testing.T) {
	path := writeConfig(t, checkedConfig)
	got := runAka(t, "check", "--config", path)
	if got.code != exitDone || !strings.HasSuffix(got.errOut, "\nOK: 1 destination, 1 source\n") {
		t.Fatalf("exit code %d: %s", got.code, got.errOut)
	}
	for _, want := range []string{"auth_token: <secret>", "write_key: <secret>", "order: strict", "max_bytes: 10GiB"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not in\n%s", want, got.out)
		}
	}
	for _, secret := range []string{"write-key-1", "token-1"} {
		if strings.Contains(got.out, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
}

// The line stands on the standard error: what is on the standard output stays YAML.
func TestCheckSaysOKLastAndHowMuchThereIs(t *testing.T) {
	two := strings.NewReplacer("vero:", "kissmetrics: { settings: { api_key: key-1 } }\n  vero:", "sources: {", "sources: { shop: { write_key: write-key-2 },").Replace(checkedConfig)
	for config, want := range map[string]string{checkedConfig: "\nOK: 1 destination, 1 source\n", two: "\nOK: 2 destinations, 2 sources\n"} {
		if got := runAka(t, "check", "--config", writeConfig(t, config)); got.code != exitDone || !strings.HasSuffix(got.errOut, want) || strings.Contains(got.out, "OK:") {
			t.Errorf("exit code %d, errors %q, want %q, output\n%s", got.code, got.errOut, want, got.out)
		}
	}
	wrong := writeConfig(t, strings.Replace(checkedConfig, "write_key", "write_kee", 1))
	if got := runAka(t, "check", "--config", wrong); got.code != exitFailed || strings.Contains(got.out+got.errOut, "OK:") {
		t.Errorf("of a wrong config: exit code %d, %q, %q", got.code, got.out, got.errOut)
	}
}

func TestCheckRefusesASecretWithWhatIsNeverInOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for _, c := range []struct{ variable, file, want string }{
		{"s3cret", "", ""},
		{"s3cret\n", "", "auth_token: environment variable VERO_TOKEN: expected a single line, without a line break"},
		{" s3cret ", "", "auth_token: environment variable VERO_TOKEN: expected no space at either end"},
		{"", "s3cret\n", ""},
		{"", "s3cret\nold\n", "auth_token_file: " + file + ": expected a single line, without a line break"},
		{"", "s3cret\x001\n", "auth_token_file: " + file + ": expected no NUL byte"},
		{"", "\xff\xfes\x003\x00c\x00", "auth_token_file: " + file + ": expected UTF-8, not bytes of another encoding"},
	} {
		t.Setenv("VERO_TOKEN", c.variable)
		text := `auth_token: "${VERO_TOKEN}"`
		if c.file != "" {
			text = fmt.Sprintf("auth_token_file: %q", file)
		}
		if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		path := writeConfig(t, "sources: { website: { write_key: write-key-1 } }\ndestinations: { vero: { settings: { "+text+" } } }\n")
		want := "merges at vero: " + safeRules + "\nOK: 1 destination, 1 source\n"
		if c.want != "" {
			want = "aka: " + path + ":2: destinations.vero.settings." + c.want + "\n"
		}
		if got := runAka(t, "check", "--config", path); got.errOut != want || (got.code == exitDone) != (c.want == "") || strings.Contains(got.out, "s3cret") {
			t.Errorf("%q: exit code %d, errors %q, want %q", c, got.code, got.errOut, want)
		}
	}
}

func TestTheDefaultConfigIsTheOwnBeforeTheExample(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, command := range []string{"check", "serve", "explain", "health"} {
		got := runAka(t, command)
		for _, way := range []string{"no config.yaml and no config.example.yaml", "--config", "aka demo"} {
			if got.code != exitFailed || !strings.Contains(got.errOut, way) {
				t.Errorf("%s without a config: exit code %d: %s", command, got.code, got.errOut)
			}
		}
	}
	for _, name := range []string{"config.example.yaml", "config.yaml"} {
		if err := os.WriteFile(filepath.Join(".", name), []byte("listen: wrong\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := runAka(t, "check"); got.code != exitFailed || !strings.Contains(got.errOut, name+":1: listen: ") {
			t.Errorf("%s: exit code %d: %s", name, got.code, got.errOut)
		}
	}
}

func TestCheckSaysWhichDestinationsAreDry(t *testing.T) {
	check := func(keys string) string {
		return runAka(t, "check", "--config", writeConfig(t, "sources: { website: { write_key: write-key-1 } }\ndestinations:\n"+
			"  a: { type: vero, "+keys+", settings: { auth_token: token-1 } }\n  b: { type: vero, mode: live, settings: { auth_token: token-1 } }\n")).errOut
	}
	for keys, want := range map[string]string{
		"mode: dry":                   "a is dry: nothing is sent, and its calls are not kept for it\n",
		"mode: dry, from_start: true": "a is dry: nothing is sent; its calls wait until it is live\n",
	} {
		if got := check(keys); !strings.HasSuffix(got, "OK: 2 destinations, 1 source\n"+want) {
			t.Errorf("%s: it says %s", keys, got)
		}
	}
	if got := check("mode: dri"); !strings.Contains(got, `destinations.a.mode: unknown mode "dri"; known are live, dry`) {
		t.Errorf("it says %s", got)
	}
}
