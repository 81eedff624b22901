package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/config/configtest"
	"aka/router/delivery"
	"aka/router/instance"
	"aka/router/mergerules"
	"aka/router/segment"
)

// Each broken config stands beside the exact and whole text of its error, but for the list of vendors, which grows.
func TestBrokenConfigsNameEveryMistake(t *testing.T) {
	t.Chdir("testdata/config")
	vendors := strings.Join(destinations.Types(), ", ")
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d broken configs (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			_, err := Load(file, LoadOptions{Lookup: configtest.Lookup})
			mistakes := (*Mistakes)(nil)
			if !errors.As(err, &mistakes) {
				t.Fatalf("the error is no *Mistakes: %v", err)
			}
			configtest.CompareGolden(t, strings.TrimSuffix(file, ".yaml")+".err", strings.ReplaceAll(err.Error(), vendors, "<vendors>")+"\n")
			for _, secret := range []string{"s3cret", "token-1", "key-1"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows a secret")
				}
			}
		})
	}
}

func TestUnreadableFilesAreMistakes(t *testing.T) {
	folder := t.TempDir()
	large := filepath.Join(folder, "large.yaml")
	if err := os.WriteFile(large, []byte(strings.Repeat("# 16 bytes long\n", 2<<20/16)), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(folder, "missing.yaml")
	for path, want := range map[string]string{
		missing: missing + ": no such file or directory",
		folder:  folder + ": is a directory",
		large:   large + ": the file is larger than 1MiB",
	} {
		if _, err := Load(path, LoadOptions{}); err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

func TestEmptyDocumentsAroundTheConfigAreNoDocuments(t *testing.T) {
	for name, text := range map[string]string{
		"behind it":          configtest.Minimal + "---\n",
		"without a newline":  configtest.Minimal + "---",
		"and a comment":      configtest.Minimal + "--- # the end\n\n# of it\n",
		"ended":              configtest.Minimal + "...\n---\n...\n",
		"twice":              configtest.Minimal + "---\n---\n",
		"before it":          "---\n---" + configtest.Minimal,
		"the usual one":      "---" + configtest.Minimal,
		"thousands":          strings.Repeat("---\n", 5000) + configtest.Minimal,
		"a comment and more": "# generated\n---\n# nothing\n---" + configtest.Minimal + "---\n",
	} {
		if _, err := Load(configtest.Write(t, text), LoadOptions{Lookup: configtest.Lookup}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	lines := strings.Count(configtest.Minimal, "\n")
	at := func(line int, problem string) string { return fmt.Sprintf(":%d: %s", lines+line, problem) }
	for text, want := range map[string]string{
		configtest.Minimal + "---\n---\nsources: {}\n": at(2, "a second document; a file holds one config"),
		configtest.Minimal + "---\n~\n":                at(1, "a second document; a file holds one config"),
		configtest.Minimal + "---\n: [\n":              at(2, "not YAML: "),
		"---\n---\n":                                   ": the file is empty",
		"---\n~\n":                                     ": the file is empty",
	} {
		path := configtest.Write(t, text)
		if _, err := Load(path, LoadOptions{Lookup: configtest.Lookup}); err == nil || !strings.HasPrefix(err.Error(), path+want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestAnAliasBombEndsSoon(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("sources: { website: { write_key: dev } }\nx: &x\n")
	for i := range 20_000 {
		fmt.Fprintf(&bomb, "  k%d: 1\n", i)
	}
	bomb.WriteString("destinations:\n")
	for i := range 20_000 {
		fmt.Fprintf(&bomb, "  d%d: { type: vero, settings: *x }\n", i)
	}
	_, err := Load(configtest.Write(t, bomb.String()), LoadOptions{})
	if err == nil || len(err.Error()) > 1<<20 {
		t.Errorf("got an error of %d bytes", len(fmt.Sprint(err)))
	}
}

func load(t *testing.T, text string, options LoadOptions) *Config {
	t.Helper()
	if options.Lookup == nil {
		options.Lookup = configtest.Lookup
	}
	config, err := Load(configtest.Write(t, text), options)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

const example = "../../config.example.yaml"

func TestTheExampleShowsTheDefaults(t *testing.T) {
	shown, err := Load(example, LoadOptions{Lookup: configtest.Lookup, MissingSecret: "unset"})
	if err != nil {
		t.Fatal(err)
	}
	want := string(load(t, requiredOfExample(t), LoadOptions{MissingSecret: "unset"}).Effective())
	if got := string(shown.Effective()); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// requiredOfExample is what the example cannot do without: its vendors, and the settings that they require.
func requiredOfExample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	shown := decodeAny(t, text)
	required := "sources: { website: { write_key: dev } }\ndestinations:\n"
	for _, name := range destinations.StableTypes() {
		required += "  " + name + ":\n    settings:\n"
		for _, key := range append(destinations.RequiredOf(name), alsoRequired[name]...) {
			required += fmt.Sprintf("      %s: %s\n", key, inline(at(shown, "destinations."+name+".settings."+key)))
		}
	}
	return required
}

// alsoRequired are keys that their vendors' defaults require.
var alsoRequired = map[string][]string{"webhook": {"secrets"}}

// inline is a value on one line.
func inline(value any) string {
	text, _ := json.Marshal(value)
	return string(text)
}

// commented is a key of the example that is commented out.
var commented = regexp.MustCompile(`(?m)^( *)# ([a-z0-9_]+:( .*)?)$`)

// wholeExample is the example with every key that it holds.
func wholeExample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	return commented.ReplaceAllString(string(text), "$1$2")
}

func TestTheExampleShowsTheDefaultsOfWhatIsCommentedOutToo(t *testing.T) {
	environment := func(string) (string, bool) { return "a/secret/of/base64/for/each/key/", true }
	shown := decodeAny(t, load(t, wholeExample(t), LoadOptions{Lookup: environment}).Effective())
	for path, want := range flattened(decodeAny(t, load(t, requiredOfExample(t), LoadOptions{MissingSecret: "unset"}).Effective())) {
		if got := at(shown, path); fmt.Sprint(got) != want {
			t.Errorf("%s: the example says %v, the default is %s", path, got, want)
		}
	}
}

func TestTheExampleHasEveryKey(t *testing.T) {
	shown := decodeAny(t, []byte(wholeExample(t)))
	for _, key := range keysOf(reflect.TypeFor[Config](), "") {
		key = strings.NewReplacer("sources.*", "sources.website", "destinations.*", "destinations.vero").Replace(key)
		if key != "journal.nats" && at(shown, key) == nil {
			t.Errorf("%s is not in the example", key)
		}
	}
	for _, name := range destinations.StableTypes() {
		settings := reflect.TypeOf(destinations.SettingsOf(name)).Elem()
		for _, key := range keysOf(settings, "destinations."+name+".settings") {
			if at(shown, key) == nil {
				t.Errorf("%s is not in the example", key)
			}
		}
	}
}

// keysOf lists the paths of every YAML key below a type; a map's keys are *.
func keysOf(of reflect.Type, prefix string) []string {
	switch {
	case of.Kind() == reflect.Pointer && of != reflect.TypeFor[*yaml.Node]():
		return keysOf(of.Elem(), prefix)
	case of.Kind() == reflect.Map && of.Elem() != reflect.TypeFor[adapter.Secret]():
		return keysOf(of.Elem(), prefix+".*")
	case of.Kind() != reflect.Struct || of == reflect.TypeFor[adapter.Secret]() || of == reflect.TypeFor[adapter.URL]() || of == reflect.TypeFor[delivery.Concurrency]():
		return []string{prefix}
	}
	keys := []string{}
	for i := range of.NumField() {
		name, options, _ := strings.Cut(of.Field(i).Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			keys = append(keys, keysOf(of.Field(i).Type, prefix)...)
		case name != "" && name != "-":
			keys = append(keys, keysOf(of.Field(i).Type, strings.TrimPrefix(prefix+"."+name, "."))...)
		}
	}
	return keys
}

func decodeAny(t *testing.T, text []byte) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return value
}

// at returns the value at a path of keys, or nil.
func at(value any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		section, _ := value.(map[string]any)
		value = section[name]
	}
	return value
}

// flattened lists every value of nested sections by its path.
func flattened(value any) map[string]string {
	all := map[string]string{}
	section, ok := value.(map[string]any)
	if !ok {
		return map[string]string{"": fmt.Sprint(value)}
	}
	for name, inner := range section {
		for path, text := range flattened(inner) {
			all[strings.TrimSuffix(name+"."+path, ".")] = text
		}
	}
	return all
}

func TestTheEffectiveConfigIsWholeMaskedAndAConfigAgain(t *testing.T) {
	config, err := Load(example, LoadOptions{Lookup: configtest.Lookup, MissingSecret: "unset"})
	if err != nil {
		t.Fatal(err)
	}
	effective := string(config.Effective())
	configtest.CompareGolden(t, "testdata/effective.yaml", effective)
	if reload := string(load(t, effective, LoadOptions{}).Effective()); reload != effective {
		t.Errorf("got %s\nwant %s", reload, effective)
	}
}

func TestTheEffectiveConfigOfSeveralSourcesIsAConfigAgain(t *testing.T) {
	config := load(t, `
sources:
  app: { write_key: app-key-1, destinations: [eu] }
  website: { write_key: website-key-1, allowed_origins: ["https://app.example"] }
destinations:
  eu: { type: mixpanel, integration_names: ["$${x}", "null", "8080"], settings: { token: token-1, id_merge: legacy, region: eu, blocked_ids: [guest] } }
  kissmetrics: { settings: { api_key: key-1, settle: 36h }, delivery: { rate: 0.5, retry: { max_age: 36h } } }
`, LoadOptions{})
	effective := string(config.Effective())
	for _, secret := range []string{"app-key-1", "website-key-1", "token-1", "key-1"} {
		if strings.Contains(effective, secret) {
			t.Errorf("%s is not masked", secret)
		}
	}
	reload := load(t, effective, LoadOptions{})
	if text := string(reload.Effective()); text != effective {
		t.Errorf("got %s\nwant %s", text, effective)
	}
	if got := reload.Destinations["eu"].IntegrationNames[0]; got != "${x}" {
		t.Errorf("an escaped name became %q", got)
	}
}

func TestADestinationOverridesDeliveryKeyByKey(t *testing.T) {
	config := load(t, `
sources: { website: { write_key: dev } }
destinations:
  kissmetrics: { settings: { api_key: key-1 }, delivery: { concurrency: 4, retry: { max: 5m } } }
  vero: { settings: { auth_token: token-1 } }
delivery: { timeout: 3s, retry: { initial: 1s } }
`, LoadOptions{})
	own, other := config.Destinations["kissmetrics"], config.Destinations["vero"]
	if d := own.Delivery; d.Concurrency != delivery.Fixed(4) || d.Timeout != 3*time.Second || d.Retry.Initial != time.Second || d.Retry.Max != 5*time.Minute {
		t.Errorf("got %+v", d)
	}
	if d := other.Delivery; d.Concurrency != (delivery.Concurrency{}) || d.Retry.Max != time.Minute {
		t.Errorf("the override reached another destination: %+v", d)
	}
	if own.Order != adapter.OrderIdentity || other.Order != adapter.OrderStrict {
		t.Errorf("the orders are not the vendors': %s, %s", own.Order, other.Order)
	}
}

func TestTheDefaultOrderReplacesTheVendors(t *testing.T) {
	config := load(t, configtest.Minimal+"delivery: { order: none }\n", LoadOptions{})
	if d := config.Destinations["vero"]; d.Order != adapter.OrderNone || d.Delivery.Order != adapter.OrderNone {
		t.Errorf("got %s and %s", d.Order, d.Delivery.Order)
	}
}

func TestADryDestinationRunsUnderItsOwnName(t *testing.T) {
	config := load(t, `
sources: { website: { write_key: dev } }
destinations:
  vero: { mode: dry, settings: { auth_token: token-1 } }
  kept: { type: vero, mode: dry, from_start: true, settings: { auth_token: token-1 } }
  live: { type: vero, mode: live, from_start: true, settings: { auth_token: token-1 } }
`, LoadOptions{})
	got := map[string]string{}
	for name, d := range config.Running() {
		got[name] = fmt.Sprintf("%s dry=%t waits=%t", d.Name, d.Dry, d.Waits)
		if d.Names[0] != LiveName(name) {
			t.Errorf("calls name %s by %s", name, d.Names)
		}
	}
	want := map[string]string{
		"vero~dry": "vero~dry dry=true waits=false", "kept~dry": "kept~dry dry=true waits=false", "kept": "kept dry=false waits=true", "live": "live dry=false waits=false",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAdaptersSeeTheInstanceAndTheirNames(t *testing.T) {
	var seen adapter.Environment
	destinations.Vendors["curious"] = adapter.Vendor{Names: []string{"Curious"}, Order: adapter.OrderStrict, New: func(s adapter.Settings) (adapter.Adapter, error) {
		seen = adapter.EnvironmentOf(s)
		config := struct {
			adapter.Common `yaml:",inline"`
		}{}
		return curious{config.Common}, s.Decode(&config)
	}}
	defer delete(destinations.Vendors, "curious")
	const text = "sources: { website: { write_key: key-1 } }\ndestinations: { mine: { type: curious, integration_names: [More], lenient_names: true } }\n"
	dir := t.TempDir()

	config := load(t, text, LoadOptions{JournalDir: dir})
	if want := []string{"mine", "Curious", "More"}; !slices.Equal(seen.Names.List, want) || !seen.Names.Lenient {
		t.Errorf("names: got %+v", seen.Names)
	}
	if *seen.Instance != "" {
		t.Errorf("before the first start: got %q", *seen.Instance)
	}
	if config.NameInstance("made"); *seen.Instance != "made" || strings.Contains(string(config.Effective()), "made") {
		t.Errorf("got %q", *seen.Instance)
	}

	kept, err := instance.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if load(t, text, LoadOptions{JournalDir: dir}); *seen.Instance != kept {
		t.Errorf("after the first start: got %q, want %q", *seen.Instance, kept)
	}
	config = load(t, text+"instance: aka-1\n", LoadOptions{JournalDir: dir})
	if config.NameInstance("made"); *seen.Instance != "aka-1" {
		t.Errorf("one that the config names: got %q", *seen.Instance)
	}
}

func TestTheOrderIsTheConfigsElseTheAdapters(t *testing.T) {
	destinations.Vendors["curious"] = adapter.Vendor{Order: adapter.OrderStrict, New: func(s adapter.Settings) (adapter.Adapter, error) {
		return curious{}, s.Decode(&struct{}{})
	}}
	defer delete(destinations.Vendors, "curious")
	const text = "sources: { website: { write_key: key-1 } }\ndestinations: { mine: { type: curious } }\n"
	for more, want := range map[string]adapter.Order{"": adapter.OrderNone, "delivery: { order: identity }\n": adapter.OrderIdentity} {
		d := load(t, text+more, LoadOptions{}).Destinations["mine"]
		var shown struct{ Order adapter.Order }
		if err := d.Overrides.Decode(&shown); err != nil {
			t.Fatal(err)
		}
		if d.Order != want || d.Delivery.Order != want || shown.Order != want {
			t.Errorf("%q: got %s and %s, shown as %s", more, d.Order, d.Delivery.Order, shown.Order)
		}
	}
}

type curious struct{ adapter.Common }

func (curious) Order() adapter.Order { return adapter.OrderNone }

func (curious) Translate(*segment.Call) adapter.Outcome { return adapter.Drop(adapter.NothingToSend) }

func TestDestinationsAreBuiltAsConfigured(t *testing.T) {
	d := load(t, `
sources: { website: { write_key: dev } }
destinations:
  eu: { type: mixpanel, integration_names: [Mixpanel EU], lenient_names: true, remember_merges: true, settings: { token: token-1, id_merge: legacy } }
`, LoadOptions{}).Destinations["eu"]
	if d.Name != "eu" || d.Type != "mixpanel" || !d.Lenient || !*d.RememberMerges || !d.Destination.RememberMerges || d.Settle != time.Second {
		t.Errorf("got %+v", d.Destination)
	}
	for _, name := range []string{"eu", "Mixpanel", "Mixpanel EU"} {
		if !slices.Contains(d.Names, name) {
			t.Errorf("it does not go by %q but by %q", name, d.Names)
		}
	}
	if got := d.Masker.Mask("token-1"); got != "<secret>" {
		t.Errorf("its token shows as %s", got)
	}
}

func TestASecretMayStandInAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "write_key")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(configtest.Minimal, "write_key: dev", "write_key_file: "+file, 1)
	if got := load(t, text, LoadOptions{}).Sources["website"].WriteKey.Reveal(); got != "from-file" {
		t.Errorf("got %q", got)
	}
}

func TestASimulatedConfigNeedsNoSecretAndGoesNowhereElse(t *testing.T) {
	seen := map[string]string{}
	simulate := func(name, vendorType string, settings *yaml.Node) (string, error) {
		var own struct {
			IDMerge string `yaml:"id_merge"`
		}
		if err := settings.Decode(&own); err != nil {
			return "", err
		}
		seen[name] = vendorType + " " + own.IDMerge
		return "http://127.0.0.1:1/" + name, nil
	}
	config := load(t, `
sources: { app: { write_key: "${NOT_SET}" }, website: { write_key: "${NOT_SET}" } }
destinations:
  eu: { type: mixpanel, settings: { token: "${NOT_SET}", id_merge: original, endpoint: "https://api-eu.mixpanel.com" } }
  vero: { settings: { auth_token_file: /no/such/file } }
`, LoadOptions{MissingSecret: "simulated", Simulate: simulate})
	if want := map[string]string{"eu": "mixpanel original", "vero": "vero "}; !maps.Equal(seen, want) {
		t.Errorf("the simulator was asked for %v, not %v", seen, want)
	}
	for _, d := range config.Destinations {
		if got, want := d.Adapter.Shared().Endpoint, "http://127.0.0.1:1/"+d.Name; got != want {
			t.Errorf("%s goes to %s, not %s", d.Name, got, want)
		}
	}
	if got := config.Sources["app"].WriteKey.Reveal(); got != "app" {
		t.Errorf("a missing write key became %q, not the source's name", got)
	}
}

func TestASimulatorThatRefusesIsAMistakeOfTheDestination(t *testing.T) {
	refuse := func(string, string, *yaml.Node) (string, error) {
		return "", errors.New("no simulator for this vendor")
	}
	path := configtest.Write(t, `sources: { website: { write_key: dev } }
destinations:
  mixpanel: { settings: { token: token-1, id_merge: simplified } }
`)
	_, err := Load(path, LoadOptions{Lookup: configtest.Lookup, Simulate: refuse})
	if want := path + ":3: destinations.mixpanel.settings.endpoint: no simulator for this vendor"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/config/*.yaml")
	for _, file := range append(files, example) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	folder := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(folder, fmt.Sprint(os.Getpid())+".yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		config, err := Load(path, LoadOptions{Lookup: configtest.Lookup, MissingSecret: "unset"})
		if err != nil {
			if mistakes := (*Mistakes)(nil); !errors.As(err, &mistakes) || len(mistakes.Problems) == 0 {
				t.Fatalf("no mistakes in %v", err)
			}
			return
		}
		options := LoadOptions{}
		if config.Admin.AreSet() {
			options.MissingSecret = "unset" // the tokens' files need not be there
		}
		effective := config.Effective()
		reload := load(t, string(effective), options).Effective()
		if !bytes.Equal(reload, effective) {
			t.Fatalf("the effective config\n%s\nloads as\n%s", effective, reload)
		}
	})
}

// What is tried without its secrets is tried without its certificate, which lies where the secrets do.
func TestACertificateThatIsNotThereIsLeftOutWhereSecretsMayBeMissing(t *testing.T) {
	text := configtest.Minimal + "\ntls: { cert_file: missing.crt, key_file: missing.key }\n"
	if config := load(t, text, LoadOptions{MissingSecret: "unset"}); config.TLS.IsSet() {
		t.Errorf("%+v", config.TLS)
	}
}

func TestNothingPrivateLiesInTheStaticFolder(t *testing.T) {
	for private, static := range map[string][]string{
		"config.yaml":            {".", "linked", ".."},
		"config/static/journal":  {"static"},
		"config/static/a/b/c":    {"static", "static/a"},
		"config/linked/static/j": {"static", "linked/static"},
		"config/static/key.txt":  {"static"},
		"config/private/key.txt": nil,
		"config/static-too/j":    nil,
		"j":                      nil,
	} {
		for _, dir := range append(static, "static/public") {
			folder := t.TempDir()
			for _, path := range []string{"config/static/a", "config/static/public", "config/private"} {
				if err := os.MkdirAll(filepath.Join(folder, path), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			t.Chdir(filepath.Join(folder, "config"))
			if err := os.Symlink(".", "linked"); err != nil {
				t.Fatal(err)
			}
			text, path := configtest.Minimal, filepath.Join(folder, private)
			switch filepath.Ext(private) {
			case "":
				text += fmt.Sprintf("journal: { dir: %q }\n", path)
			case ".txt":
				if err := os.WriteFile(path, []byte("key"), 0o600); err != nil {
					t.Fatal(err)
				}
				text = strings.Replace(text, "write_key: dev", fmt.Sprintf("write_key_file: %q", path), 1)
			}
			text += fmt.Sprintf("static_dir: %q\n", dir)
			if err := os.WriteFile("config.yaml", []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load("config.yaml", LoadOptions{Lookup: configtest.Lookup})
			wanted := slices.Contains(static, dir)
			if (err != nil) != wanted || wanted && !strings.Contains(err.Error(), "static_dir: expected a folder without anything private") {
				t.Errorf("%s below %s: %v", private, dir, err)
			}
		}
	}
}

func TestToRememberMergesNeedsAnAdapterThatTellsThem(t *testing.T) {
	destinations.Vendors["test-vendor"] = adapter.Vendor{New: func(settings adapter.Settings) (adapter.Adapter, error) {
		m := mute{}
		return m, settings.Decode(&m.Common)
	}}
	defer delete(destinations.Vendors, "test-vendor")
	path := filepath.Join(t.TempDir(), "config.yaml")
	text := "sources: { website: { write_key: dev } }\ndestinations:\n  test-vendor: { remember_merges: true }\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path, LoadOptions{})
	if err == nil || !strings.Contains(err.Error(), "config.yaml:3: destinations.test-vendor.remember_merges: the adapter of test-vendor") {
		t.Errorf("got %v", err)
	}
}

func TestADestinationsMergesOverrideTheDefaultsKeyByKey(t *testing.T) {
	c := load(t, `
sources: { website: { write_key: dev, ids: { user: ["*@*"] } } }
destinations:
  kissmetrics: { settings: { api_key: k }, merges: { known_users: drop, blocked_ids: ["test-*"], quarantine: { then: approve } } }
  vero: { settings: { auth_token: t } }
merges: { known_users: observe, max_ids: 20, max_ids_per: 30d, memory: { max_age: 90d }, key_file: /etc/aka/key }
ids: { device: ["anon-*"] }
`, LoadOptions{})
	own, vero := c.Destinations["kissmetrics"].MergeOptions, c.Destinations["vero"].MergeOptions
	want := mergerules.DefaultOptions
	want.KnownUsers, want.MaxIDs, want.MaxIDsPer, want.Memory.MaxAge = mergerules.Observe, 20, 30*24*time.Hour, 90*24*time.Hour
	if !reflect.DeepEqual(vero, want) || c.Merges.KeyFile != "/etc/aka/key" {
		t.Errorf("vero: got %+v, want %+v", vero, want)
	}
	want.KnownUsers, want.BlockedIDs, want.Quarantine.Then = mergerules.Drop, mergerules.Patterns{"test-*"}, mergerules.Approve
	if !reflect.DeepEqual(own, want) {
		t.Errorf("kissmetrics: got %+v, want %+v", own, want)
	}
	if kinds := c.Kinds(); !kinds.CountsAsUser("website", "jen@example.com", "") || kinds.CountsAsUser("website", "anon-1", "") {
		t.Error("the patterns of ids do not count")
	}
}

func TestTheSafeVerdictsAreTheDefaults(t *testing.T) {
	for _, d := range load(t, "sources: { website: { write_key: dev } }\ndestinations: { kissmetrics: { settings: { api_key: k } } }\n", LoadOptions{}).Destinations {
		r := d.MergeOptions.Rules
		if r.KnownUsers != mergerules.Hold || r.DeviceOfAnotherUser != mergerules.Drop || r.Direction != mergerules.Drop || r.MaxIDsVerdict != mergerules.Hold {
			t.Errorf("got %+v", r)
		}
		if r.NewUserGrace != 10*time.Minute || r.MaxIDs != 50 || r.MaxIDsPer != 7*24*time.Hour || len(r.BlockedIDs) > 0 {
			t.Errorf("got %+v", r)
		}
		if q := d.MergeOptions.Quarantine; q.VerdictAfter != 24*time.Hour || q.Then != mergerules.Refuse || q.MaxCalls != 1_000_000 || q.MaxBytes != 1<<30 {
			t.Errorf("got %+v", q)
		}
	}
}

type mute struct{ adapter.Common }

func (mute) Translate(*segment.Call) adapter.Outcome { return adapter.Drop(adapter.NothingToSend) }

// Each of these vendors merges ids.
func TestRememberMergesIsOnUnlessTheConfigSaysOtherwise(t *testing.T) {
	for text, want := range map[string]bool{
		"vero: { settings: { auth_token: t } }":                                      true,
		"vero: { remember_merges: false, settings: { auth_token: t } }":              false,
		"kissmetrics: { settings: { api_key: k } }":                                  true,
		"kissmetrics: { remember_merges: false, settings: { api_key: k } }":          false,
		"mixpanel: { settings: { token: t, id_merge: original } }":                   true,
		"mixpanel: { remember_merges: ~, settings: { token: t, id_merge: legacy } }": true,
	} {
		for _, d := range load(t, "sources: { website: { write_key: dev } }\ndestinations:\n  "+text+"\n", LoadOptions{}).Destinations {
			if *d.RememberMerges != want || d.Destination.RememberMerges != want {
				t.Errorf("%s: %v, and built with %v", text, *d.RememberMerges, d.Destination.RememberMerges)
			}
		}
	}
}
