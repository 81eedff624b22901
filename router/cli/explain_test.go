package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const jensAlias = `{"type":"alias","messageId":"m1","previousId":"jen@email.com","userId":"507f191e81"}`

// explainInput runs aka explain with a body at its standard input.
func explainInput(t *testing.T, body string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	args = append([]string{"explain", "--config", writeConfig(t, checkedConfig)}, args...)
	code := run(t.Context(), args, strings.NewReader(body), &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

const explainedAlias = `call 0  alias  message m1
  vero  send    PUT https://api.getvero.com/api/v2/users/reidentify
                  header  Content-Type: application/json
                  json    {
                            "auth_token": "<secret>",
                            "id": "jen@email.com",
                            "new_id": "507f191e81"
                          }
        note: its turn decides: remember_merges may drop it, and the rules of merges that need its memory may hold or drop it
`

func TestExplainReadsStandardInputOrAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "alias.json")
	if err := os.WriteFile(file, []byte(jensAlias), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]result{
		"no file": explainInput(t, jensAlias),
		"-":       explainInput(t, jensAlias, "-"),
		"a file":  explainInput(t, "", file),
	} {
		if got.code != exitDone || got.out != explainedAlias || got.errOut != "" {
			t.Errorf("%s: exit code %d: %s\n got %s\nwant %s", name, got.code, got.errOut, got.out, explainedAlias)
		}
	}
}

func TestExplainSpeaksJSON(t *testing.T) {
	got := explainInput(t, "["+jensAlias+",7]", "--output", "json", "--source", "website")
	var explanation struct {
		Calls []struct {
			MessageID string `json:"message_id"`
			Rejected  *struct{ Code string }
		}
	}
	if err := json.Unmarshal([]byte(got.out), &explanation); err != nil {
		t.Fatalf("%v in %s%s", err, got.out, got.errOut)
	}
	if calls := explanation.Calls; len(calls) != 2 || calls[0].MessageID != "m1" || calls[1].Rejected.Code != "invalid_call" {
		t.Errorf("got %s", got.out)
	}
}

func TestExplainShowsSecretsWhenTold(t *testing.T) {
	if got := explainInput(t, jensAlias, "--show-secrets"); !strings.Contains(got.out, "token-1") {
		t.Errorf("got %s%s", got.out, got.errOut)
	}
}

func TestExplainTakesTheTypeOfAPath(t *testing.T) {
	got := explainInput(t, `{"userId":"jane","previousId":"jane"}`, "--type", "alias")
	if !strings.Contains(got.out, "drop    same_ids") {
		t.Errorf("got %s%s", got.out, got.errOut)
	}
}

func TestExplainNeedsNoSecrets(t *testing.T) {
	t.Setenv("VERO_AUTH_TOKEN", "")
	path := writeConfig(t, strings.Replace(checkedConfig, "token-1", `"${VERO_AUTH_TOKEN}"`, 1))
	if got := explainInput(t, jensAlias, "--config", path); got.code != exitDone || got.out != explainedAlias {
		t.Errorf("exit code %d: %s%s", got.code, got.out, got.errOut)
	}
}

func TestExplainThatFailsSaysWhy(t *testing.T) {
	for want, got := range map[string]result{
		"aka: body: not JSON at byte 1\n":                           explainInput(t, "{"),
		"aka: body: not JSON at byte 3\n":                           explainInput(t, " [7;]"),
		"aka: body: empty\n":                                        explainInput(t, ""),
		"aka: no source is named \"blog\"; there are website\n":     explainInput(t, jensAlias, "--source", "blog"),
		"aka: the body is larger than 16MiB\n":                      explainInput(t, strings.Repeat(" ", int(maxExplained)+1)),
		"aka: open /no/such/file.json: no such file or directory\n": explainInput(t, "", "/no/such/file.json"),
	} {
		if got.code != exitFailed || got.errOut != want || got.out != "" {
			t.Errorf("exit code %d: got %s%s, not %s", got.code, got.out, got.errOut, want)
		}
	}
}

func TestExplainUsedWronglySaysHow(t *testing.T) {
	for want, args := range map[string][]string{
		"expected one of text, json":                                  {"--output", "xml"},
		"expected one of alias, identify, track, page, screen, group": {"--type", "merge"},
		"accepts at most 1 arg(s), received 2":                        {"a.json", "b.json"},
	} {
		if got := explainInput(t, jensAlias, args...); got.code != exitWrongUse || !strings.Contains(got.errOut, want) {
			t.Errorf("%v: exit code %d: %s", args, got.code, got.errOut)
		}
	}
}
