package segment

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

var veroNames = []string{"vero-eu", "Vero", "Vero (Legacy)"}

func TestRouteByTheDestinationsNames(t *testing.T) {
	for routing, want := range map[string]string{
		``:                                    "on",
		`{}`:                                  "on",
		`{"Vero":true}`:                       "on",
		`{"Vero":false}`:                      "off",
		`{"vero-eu":false}`:                   "off",
		`{"Vero (Legacy)":false}`:             "off",
		`{"Mixpanel":false}`:                  "on",
		`{"All":false}`:                       "off",
		`{"all":false}`:                       "off",
		`{"All":false,"Vero":true}`:           "on",
		`{"Vero":true,"All":false}`:           "on",
		`{"All":true,"Vero":false}`:           "off",
		`{"All":false,"Vero":{}}`:             "on map[]",
		`{"All":false,"Vero":{"tags":[1]}}`:   "on map[tags:[1]]",
		`{"All":false,"Vero":["a"]}`:          "on map[]",
		`{"Vero":{"enabled":false}}`:          "on map[enabled:false]",
		`{"Vero":{"a":1},"vero-eu":{"b":2}}`:  "on map[b:2]",
		`{"Vero":{"a":1},"vero-eu":true}`:     "on map[a:1]",
		`{"Vero":{"a":1},"vero-eu":false}`:    "off",
		`{"Vero":true,"vero-eu":false}`:       "off",
		`{"Vero":false,"Vero":true}`:          "on",
		`{"\u0056ero":false}`:                 "off",
		`{"All":false,"Vero":null}`:           "off [integration_not_a_switch]",
		`{"All":false,"Vero":"true"}`:         "off [integration_not_a_switch]",
		`{"Vero":0}`:                          "on [integration_not_a_switch]",
		`{"All":"false"}`:                     "on [integration_not_a_switch]",
		`{"All":null,"Vero":""}`:              "on [integration_not_a_switch]",
		`{"All":{}}`:                          "on",
		`{"All":true,"all":false}`:            "off",
		`{"VERO":false}`:                      "on [integration_near_miss]",
		`{" vero":false}`:                     "on [integration_near_miss]",
		`{"vero(legacy)":false,"VERO":false}`: "on [integration_near_miss]",
		`{"ALL":false}`:                       "on [integration_near_miss]",
		`{"Vero!":false}`:                     "on",
		`[]`:                                  "on [invalid_integrations]",
		`{"Vero":false`:                       "on [invalid_integrations]",
		`{"Vero":false}}`:                     "on [invalid_integrations]",
	} {
		if got := show(Route([]byte(routing), veroNames, false)); got != want {
			t.Errorf("%s: %s, not %s", routing, got, want)
		}
	}
}

func TestLenientRoutingTakesNearMisses(t *testing.T) {
	for routing, want := range map[string]string{
		`{"VERO":false}`:                  "off [integration_near_miss]",
		`{"All":false,"v e r o":true}`:    "on [integration_near_miss]",
		`{"VERO":false,"Vero":true}`:      "off [integration_near_miss]",
		`{"VERO":{"a":1},"Vero":{"b":2}}`: "on map[b:2] [integration_near_miss]",
		`{"ALL":false}`:                   "off [integration_near_miss]",
	} {
		if got := show(Route([]byte(routing), veroNames, true)); got != want {
			t.Errorf("%s: %s, not %s", routing, got, want)
		}
	}
}

func TestRouteByManyNames(t *testing.T) {
	var names []string
	for i := range 2 * fewNames {
		names = append(names, fmt.Sprint("n", i))
	}
	for _, name := range names {
		if got := show(Route([]byte(`{"`+name+`":false}`), names, false)); got != "off" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestARememberedRouteIsTheSame(t *testing.T) {
	var routes Routes
	for i := range 10 * keptRoutes {
		for _, routing := range []string{
			fmt.Sprintf(`{"Vero":%t,"x":%d}`, i%3 == 0, i%(3*keptRoutes)), `{"All":false}`, `{"All":true}`, ``, `{}`, `{"Vero":{"a":1}}`,
			`{"Vero":0}`, `{"Vero":false`, `{"Vero":false,"` + strings.Repeat("x", keptRouting) + `":1}`,
		} {
			want := show(Route([]byte(routing), veroNames, false))
			if got := show(routes.Route([]byte(routing), veroNames, false)); got != want {
				t.Fatalf("%s: %s, not %s", routing, got, want)
			}
		}
	}
}

func show(d Decision) string {
	text := map[bool]string{true: "on", false: "off"}[d.Enabled]
	if d.Options != nil {
		text += fmt.Sprint(" ", d.Options)
	}
	if d.Diagnostics != nil {
		text += fmt.Sprint(" ", d.Diagnostics)
	}
	return text
}

func TestTheEffectiveIntegrations(t *testing.T) {
	for _, c := range []struct{ envelope, call, want string }{
		{``, ``, ``},
		{``, `"integrations":{}`, ``},
		{``, `"integrations":[]`, ``},
		{``, `"integrations":null`, ``},
		{``, `"integrations":{"Vero":false}`, `{"Vero":false}`},
		{``, `"integrations":{"Segment.io":true,"Customer.io Data Pipelines":true,"RudderStack":true}`, ``},
		{``, `"integrations":{"All":false,"Segment.io":true}`, `{"All":false}`},
		{`"integrations":{"All":false},`, ``, `{"All":false}`},
		{`"integrations":{"All":false},`, `"integrations":{"Vero":true}`, `{"All":false,"Vero":true}`},
		{`"integrations":{"Vero":false},`, `"integrations":{"Vero":true}`, `{"Vero":false,"Vero":true}`},
		{``, `"context":{"integrations":{"Vero":false}}`, `{"Vero":false}`},
		{``, `"integrations":{"Mixpanel":true},"context":{"integrations":{"Vero":false}}`, `{"Mixpanel":true}`},
		{`"integrations":{"All":true},`, `"context":{"integrations":{"Vero":false}}`, `{"All":true}`},
		{`"context":{"integrations":{"Vero":false}},`, ``, `{"Vero":false}`},
		{`"context":{"integrations":{"Vero":false}},`, `"context":{"integrations":{"Vero":true}}`, `{"Vero":true}`},
		{``, `"_metadata":{"bundled":["Segment.io","Vero"],"unbundled":["Mixpanel"]}`, `{"Vero":false}`},
		{``, `"integrations":{"Vero":true},"_metadata":{"bundled":["Vero"]}`, `{"Vero":true,"Vero":false}`},
		{``, `"_metadata":{"bundled":["All","",7,null]}`, ``},
		{``, `"_metadata":{"bundled":"Vero"}`, ``},
		{``, `"_metadata":["Vero"]`, ``},
		{``, `"integrations":{"a\"\u0062":{ "x" : 1 }}`, `{"a\"b":{ "x" : 1 }}`},
	} {
		separator := ","
		if c.call == "" {
			separator = ""
		}
		result := parseBatch(t, `{`+c.envelope+`"batch":[{"type":"page","userId":"u"`+separator+c.call+`}]}`)
		if got := string(result.Messages[0].Routing); got != c.want || len(result.Warnings) > 0 {
			t.Errorf("%s %s: %s, not %s; %v", c.envelope, c.call, got, c.want, result.Warnings)
		}
	}
}

func TestIntegrationsThatAreNoObjectAreAsIfAbsent(t *testing.T) {
	for _, odd := range []string{`"none"`, `false`, `0`, `["Vero"]`} {
		for _, body := range []string{
			`{"type":"page","userId":"u","integrations":` + odd + `}`,
			`{"type":"page","userId":"u","context":{"integrations":` + odd + `}}`,
		} {
			if got := warningsOf(t, body, Options{}); !slices.Equal(got, []string{"invalid_integrations"}) {
				t.Errorf("%s: %v", body, got)
			}
			if m := parseOne(t, body); m.Routing != nil {
				t.Errorf("%s: %s", body, m.Routing)
			}
		}
	}
}

func FuzzRoute(f *testing.F) {
	for _, seed := range []string{`{"All":false,"Vero":{"tags":{"add":["a"]}}}`, `{"VERO":[],"all":null}`, `{"":`, `[]`, `{"Vero":"\ud800"}`} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	var strict, lax Routes
	f.Fuzz(func(t *testing.T, routing []byte, lenient bool) {
		given := string(routing)
		got := Route(routing, veroNames, lenient)
		routes := &strict
		if lenient {
			routes = &lax
		}
		for range 2 {
			if remembered := routes.Route(routing, veroNames, lenient); show(remembered) != show(got) {
				t.Fatalf("%s remembered, not %s", show(remembered), show(got))
			}
		}
		if string(routing) != given || show(got) != show(Route(routing, veroNames, lenient)) {
			t.Fatal("Route is not pure")
		}
		if !got.Enabled && got.Options != nil {
			t.Fatal("options of a destination that is off")
		}
		for _, code := range got.Diagnostics {
			if !slices.Contains(RouteDiagnosticCodes, code) {
				t.Fatalf("%s is not listed", code)
			}
		}
	})
}
