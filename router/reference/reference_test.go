package reference

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/reference/comments"
)

const root = "../.."

func TestWhatIsGeneratedIsFresh(t *testing.T) {
	files, err := Files(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the code says (%v): run `go generate ./router/reference` and read what changed", name, err)
		}
	}
}

// each calls do for every key, with its path.
func each(r *Reference, do func(path string, k *Key)) {
	var walk func(prefix string, keys []*Key)
	walk = func(prefix string, keys []*Key) {
		for _, k := range keys {
			do(prefix+k.Name, k)
			walk(prefix+k.Name+".", k.Keys)
			if k.Of != nil {
				walk(prefix+k.Name+"[].", k.Of.Keys)
			}
		}
	}
	walk("", r.Keys)
	for _, v := range r.Vendors {
		walk(v.Type+".", v.Settings.Keys)
	}
}

func TestEveryKeySaysWhatItMeansInTheWordsOfTheConfig(t *testing.T) {
	var ofGo []string
	each(New(), func(_ string, k *Key) {
		if name := k.field[strings.LastIndexByte(k.field, '.')+1:]; strings.ContainsAny(name[1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") && len(name) > 3 {
			ofGo = append(ofGo, name)
		}
	})
	names := regexp.MustCompile(`\b(?:` + strings.Join(ofGo, "|") + `)\b`)
	each(New(), func(path string, k *Key) {
		switch {
		case k.Meaning == "":
			t.Errorf("%s: nothing is said of it: give %s a comment", path, k.field)
		case !strings.HasSuffix(k.Meaning, "."):
			t.Errorf("%s: %q is no sentence", path, k.Meaning)
		case names.MatchString(k.describe()):
			t.Errorf("%s: %q names %q by its name in Go", path, k.describe(), names.FindString(k.describe()))
		case strings.Contains(k.describe(), "Default"):
			t.Errorf(`%s: %q says its default in its own way: "Default 10s." for a value, "Default: the vendor's." for anything else`, path, k.describe())
		}
	})
}

func TestTheDefaultsThatTheCommentsSayAreThoseOfTheCode(t *testing.T) {
	each(New(), func(path string, k *Key) {
		if k.stated != "" && k.stated != k.Default && k.Default != k.stated+"s" {
			t.Errorf("%s: the comment says %s, the code %s", path, k.stated, k.Default)
		}
		hasValue := k.Keys == nil && k.Kind != Section && !k.Required
		if hasValue && k.stated == "" && k.Otherwise == "" && k.Default != "" && k.Default != "[]" {
			t.Errorf("%s: the comment does not say the default, %s", path, k.Default)
		}
	})
}

// A vendor whose comments were not generated yet is known by what its New refuses.
func TestWhatIsRequiredIsKnownWithoutTheComments(t *testing.T) {
	without := map[string]bool{}
	for _, v := range build(newDocs(&comments.Comments{})).Vendors {
		for _, k := range v.Settings.Keys {
			without[v.Type+"."+k.Name] = k.Required
		}
	}
	for _, v := range New().Vendors {
		for _, k := range v.Settings.Keys {
			if without[v.Type+"."+k.Name] != k.Required {
				t.Errorf("%s.%s: required is %v without the comments, and %v with them", v.Type, k.Name, without[v.Type+"."+k.Name], k.Required)
			}
		}
	}
}

func TestAnExampleHoldsTheStableVendors(t *testing.T) {
	const unstable = "test-vendor"
	destinations.Vendors[unstable] = adapter.Vendor{New: destinations.Vendors["vero"].New}
	defer delete(destinations.Vendors, unstable)
	for _, types := range [][]string{nil, {unstable}} {
		text, err := New().Example("schema.json", "", types...)
		if has := strings.Contains(string(text), "\n  "+unstable+":\n"); err != nil || has != (types != nil) {
			t.Errorf("%q: it is there: %v (%v)", types, has, err)
		}
	}
}

func TestAnExampleHoldsTheVendorsThatAreNamed(t *testing.T) {
	text, err := New().Example("schema.json", "", "vero", "kissmetrics")
	if err != nil {
		t.Fatal(err)
	}
	for want, times := range map[string]int{
		"\n  vero:\n": 1, "\n  kissmetrics:\n": 1, "mixpanel": 2, "destinations: [kissmetrics, vero]": 1, "# Which pages and screens": 1,
		`auth_token: "${VERO_AUTH_TOKEN}"`: 1, "$schema=schema.json\n": 1,
	} {
		if got := strings.Count(string(text), want); got != times {
			t.Errorf("%q is there %d times, not %d", want, got, times)
		}
	}
	for problem, types := range map[string][]string{
		`unknown vendor "veroo"; known are ` + strings.Join(destinations.Types(), ", ") + `; did you mean vero?`: {"vero", "veroo"},
		"the vendor vero is named twice": {"vero", "vero"},
	} {
		if _, err := New().Example("schema.json", "", types...); err == nil || err.Error() != problem {
			t.Errorf("got %v, want %s", err, problem)
		}
	}
}
