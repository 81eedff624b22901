package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aka/destinations/simulator"
)

// firstScreen is how many lines of the README a reader sees at once.
const firstScreen = 40

func TestTheFirstScreenOfTheREADMEHasOneCommandAndAnAlias(t *testing.T) {
	readme := read(t, "README.md")
	screen := strings.Join(strings.SplitAfter(readme, "\n")[:firstScreen], "")
	above, _, _ := strings.Cut(screen, "\n## ")
	if n := strings.Count(above, "```sh\n"); n != 1 || !strings.Contains(above, "```sh\ngo run . demo\n```\n") {
		t.Errorf("there are %d blocks of commands before the first heading:\n%s", n, above)
	}
	if !strings.Contains(above, "<!-- vendors: receive -->") || !strings.Contains(above, "<!-- end of vendors -->") {
		t.Errorf("what an alias becomes is not in the first %d lines", firstScreen)
	}
}

// The blocks of the README are typed one after the other, in a folder that has the source's example config and nothing else. The
// program is built already, and simulated vendors take the place of the real ones.
func TestTheCommandsOfTheREADMEDoWhatItSays(t *testing.T) {
	page, _, _ := strings.Cut(read(t, "README.md"), "\n## How it works\n")
	r := newReader(t, page)
	r.check(os.WriteFile(filepath.Join(r.dir, "config.example.yaml"), []byte(r.asHere(read(t, "config.example.yaml"))), 0o600))
	expected := []struct{ commands, prints string }{
		{"aka demo\n", "none lost, none merged by accident"},
		{"aka serve --simulate\n", ""},
		{"curl -u dev:", "{\"success\":true}\n{\"success\":true}\n"},
		{"echo '{\"type\":\"alias\"", "/reidentify"},
		{"true && aka init", "then run aka check"},
		{"export AKA_WRITE_KEY=", "\nOK: 3 destinations, 1 source\n"},
		{"aka serve\n", ""},
	}
	blocks := step.FindAllStringSubmatch(page, -1)
	if len(blocks) != len(expected) {
		t.Fatalf("the README has %d blocks of commands", len(blocks))
	}
	own := strings.NewReplacer("go run . ", "aka ", "go build -o aka .", "true", "./aka ", "aka ")
	for i, want := range expected {
		commands := own.Replace(strings.TrimLeft(blocks[i][2], " "))
		if !strings.HasPrefix(commands, want.commands) {
			t.Fatalf("block %d is %q, want %q", i, commands, want.commands)
		}
		if i == 5 { // the reader has edited the config, and knows the secrets
			r.sendToSimulators()
			commands = strings.NewReplacer("AKA_WRITE_KEY=…", "AKA_WRITE_KEY=a-write-key-of-mine", "=…", "=the-token").Replace(commands)
		}
		if strings.HasPrefix(commands, "aka serve") {
			r.start(strings.Fields(commands))
			continue
		}
		got := r.shell.run(r.asHere(commands))
		r.moveConfig()
		if want.prints != "" && !strings.Contains(got, want.prints) {
			t.Errorf("%s\nprints\n%s\nwithout %q", commands, got, want.prints)
		}
	}
}

// sendToSimulators has the config that init wrote send to simulated vendors that know the token.
func (r *reader) sendToSimulators() {
	sim, err := simulator.Start("127.0.0.1:0")
	r.check(err)
	r.t.Cleanup(func() { _ = sim.Close() })
	for vendor, secret := range map[string]string{
		"mixpanel": `token: "${MIXPANEL_TOKEN}"`, "kissmetrics": `api_key: "${KISSMETRICS_API_KEY}"`, "vero": `auth_token: "${VERO_AUTH_TOKEN}"`,
	} {
		endpoint, err := sim.Add(vendor, vendor, simulator.Options{Token: "the-token", IDMerge: map[string]string{"mixpanel": "simplified"}[vendor]})
		r.check(err)
		r.change(func(text string) string {
			return strings.Replace(text, "      "+secret, "      "+secret+"\n      endpoint: "+endpoint, 1)
		})
	}
	r.change(func(text string) string { return text + "delivery: { allow_private: true }\n" })
}
