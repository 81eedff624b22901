package cli

import (
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

func TestCheckShowsTheConfigInEffectWithoutSecrets(t *testing.T) {
	path := writeConfig(t, checkedConfig)
	got := runAka(t, "check", "--config", path)
	if got.code != exitDone || got.errOut != "" {
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
