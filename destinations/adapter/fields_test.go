package adapter

import (
	"encoding/json"
	"reflect"
	"testing"

	"aka/router/segment"
)

func TestField(t *testing.T) {
	object := map[string]any{"device": map[string]any{"token": "t", "list": []any{1}}, "ip": "1.2.3.4"}
	for _, c := range []struct {
		path []string
		want any
	}{
		{[]string{"device", "token"}, "t"},
		{[]string{"ip"}, "1.2.3.4"},
		{[]string{"ip", "version"}, nil},
		{[]string{"device", "list", "0"}, nil},
		{[]string{"no", "such", "path"}, nil},
	} {
		if got := Field(object, c.path...); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.path, got, c.want)
		}
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{" a b\n", "a b"}, {json.Number("1.50"), "1.50"}, {nil, ""}, {true, ""}, {[]any{"a"}, ""}, {map[string]any{}, ""},
	} {
		if got := Text(c.value); got != c.want {
			t.Errorf("%v: got %q, want %q", c.value, got, c.want)
		}
	}
}

func TestCutCountsCharacters(t *testing.T) {
	for _, c := range []struct {
		text       string
		characters int
		want       string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"", 0, ""}, {"a", 0, ""}, {"éé🦊x", 3, "éé🦊"}, {"éé", 2, "éé"}, {"é", 1, "é"},
	} {
		if got := Cut(c.text, c.characters); got != c.want {
			t.Errorf("%q to %d: got %q, want %q", c.text, c.characters, got, c.want)
		}
	}
}

func TestPersonTraitsAreTheCallsOwnFirst(t *testing.T) {
	call := &segment.Call{Traits: map[string]any{"plan": "pro"}}
	call.SetContext(map[string]any{"traits": map[string]any{"plan": "free", "city": "Oslo"}})
	got := PersonTraits(call)
	if !reflect.DeepEqual(got, map[string]any{"plan": "pro", "city": "Oslo"}) {
		t.Errorf("got %v", got)
	}
	got["plan"] = "changed"
	if call.Traits["plan"] != "pro" {
		t.Error("the call was modified")
	}
	call.SetContext(map[string]any{"traits": "none"})
	if got := PersonTraits(call); !reflect.DeepEqual(got, map[string]any{"plan": "pro"}) {
		t.Errorf("got %v", got)
	}
}

func TestPageEvents(t *testing.T) {
	for _, c := range []struct {
		setting        PageEvents
		name, category string
		want           bool
	}{
		{PagesAll, "", "", true},
		{PagesNamed, "n", "", true}, {PagesNamed, "", "c", false},
		{PagesCategorized, "n", "", false}, {PagesCategorized, "", "c", true},
		{PagesNone, "n", "c", false},
	} {
		if got := c.setting.Takes(&segment.Call{Name: c.name, Category: c.category}); got != c.want {
			t.Errorf("%s of name %q, category %q: got %t", c.setting, c.name, c.category, got)
		}
		if err := c.setting.Check(); err != nil {
			t.Error(err)
		}
	}
	if PageEvents("").Check() == nil || PageEvents("All").Check() == nil {
		t.Error("a word that is none of the four passed")
	}
}

func TestPagePropertiesHoldNameAndCategory(t *testing.T) {
	call := &segment.Call{Name: "n", Properties: map[string]any{"name": "other", "category": "own", "url": "u"}}
	if got := PageProperties(call); !reflect.DeepEqual(got, map[string]any{"name": "n", "category": "own", "url": "u"}) {
		t.Errorf("got %v", got)
	}
	if call.Properties["name"] != "other" {
		t.Error("the call was modified")
	}
}

func TestBaseURL(t *testing.T) {
	const vendors = "https://api.vendor.test/v2"
	for endpoint, want := range map[string]string{
		"":                          vendors,
		"https://proxy.test":        "https://proxy.test",
		"https://proxy.test/a/b//":  "https://proxy.test/a/b",
		"http://127.0.0.1:8080":     "http://127.0.0.1:8080",
		"proxy.test":                "",
		"/a":                        "",
		"ftp://proxy.test":          "",
		"https://":                  "",
		"https://u:p@proxy.test":    "",
		"https://proxy.test?a=b":    "",
		"https://proxy.test/#a":     "",
		"https://proxy.test:port/":  "",
		"https://proxy.test/\r\nX:": "",
		"https://:443":              "",
		"https://proxy.test/?":      "",
	} {
		got, err := Common{Endpoint: endpoint}.BaseURL(vendors)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", endpoint, got, err)
		}
	}
}

func TestATraitHidesItsOtherSpellingsInTheContext(t *testing.T) {
	for _, c := range []struct{ own, context, want map[string]any }{
		{map[string]any{"first_name": "New"}, map[string]any{"firstName": "Old", "lastName": "Doe"}, map[string]any{"first_name": "New", "lastName": "Doe"}},
		{map[string]any{"created": 2}, map[string]any{"createdAt": 1}, map[string]any{"created": 2}},
		{map[string]any{"plan": nil}, map[string]any{"Plan": "pro"}, map[string]any{"Plan": "pro"}},
		{map[string]any{"plan": nil}, map[string]any{"plan": "pro"}, map[string]any{"plan": "pro"}},
		{map[string]any{"plan": "pro"}, map[string]any{"plan": nil}, map[string]any{"plan": "pro"}},
		{map[string]any{"plan": nil}, map[string]any{}, map[string]any{"plan": nil}},
		{map[string]any{"plan": nil, "Plan": "pro"}, nil, map[string]any{"Plan": "pro"}},
		{map[string]any{"firstName": "A", "first_name": "B"}, nil, map[string]any{"firstName": "A", "first_name": "B"}},
		{nil, map[string]any{"firstName": "A", "first_name": "B"}, map[string]any{"firstName": "A", "first_name": "B"}},
	} {
		call := &segment.Call{Traits: c.own}
		call.SetContext(map[string]any{"traits": c.context})
		if got := PersonTraits(call); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v over %v: got %v, want %v", c.own, c.context, got, c.want)
		}
	}
}

func TestTraitFindsASpellingWithAValue(t *testing.T) {
	traits := map[string]any{"email": nil, "E_mail": "b", "E-Mail": "a", "phone": "1", "Phone": "2"}
	for name, want := range map[string]string{"email": "E-Mail", "phone": "phone", "name": ""} {
		if got := Trait(traits, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestTheCaseOfADevicesIDDoesNotMatterWhereItIsAUUID(t *testing.T) {
	for _, c := range []struct {
		one, other string
		want       bool
	}{
		{"a-1", "a-1", true}, {"a-1", "A-1", false}, {"", "", false}, {"a", "", false},
		{"5b7c9e10-1111-4a22-8b33-0c44d55e6f77", "5B7C9E10-1111-4A22-8B33-0C44D55E6F77", true},
		{"5b7c9e1011114a228b330c44d55e6f77", "5B7C9E1011114A228B330C44D55E6F77", true},
		{"5b7c9e10-1111-4a22-8b33-0c44d55e6f77", "5b7c9e10-1111-4a22-8b33-0c44d55e6f78", false},
		{"5b7c9e10-1111-4a22-8b33-0c44d55e6f77", "{5b7c9e10-1111-4a22-8b33-0c44d55e6f77}", false},
	} {
		if got := IsSameDevice(c.one, c.other); got != c.want {
			t.Errorf("%q and %q: %v", c.one, c.other, got)
		}
	}
}
