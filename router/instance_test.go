package router

import (
	"testing"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/instance"
	"aka/router/segment"
)

// curious is an adapter that keeps what it knows of the program.
type curious struct {
	adapter.Common
	environment adapter.Environment
}

func (curious) Translate(*segment.Call) adapter.Outcome { return adapter.Drop(adapter.NothingToSend) }

func (w *reloadWorld) instance(name string) string {
	return *w.router.Config().Destinations[name].Adapter.(curious).environment.Instance
}

// The name comes from the journal's folder, and a reload with the same one starts no destination anew.
func TestAnInstanceHasItsNameFromTheFirstStartOn(t *testing.T) {
	destinations.Vendors["curious"] = adapter.Vendor{Names: []string{"Curious"}, Order: adapter.OrderStrict, New: func(s adapter.Settings) (adapter.Adapter, error) {
		config := struct {
			adapter.Common `yaml:",inline"`
		}{}
		return curious{config.Common, adapter.EnvironmentOf(s)}, s.Decode(&config)
	}}
	t.Cleanup(func() { delete(destinations.Vendors, "curious") })
	w := newReloadWorld(t)
	const more = "\n  mine: { type: curious }"
	w.write("")
	w.addLines(more)
	w.start()
	kept, err := instance.Read(w.data)
	if err != nil || w.instance("mine") != kept {
		t.Fatalf("got %q, kept %q, %v", w.instance("mine"), kept, err)
	}
	w.mustReload(Reloaded{})
	if got := w.instance("mine"); got != kept {
		t.Errorf("after a reload: got %q", got)
	}
	w.write("instance: aka-1")
	w.addLines(more)
	w.mustReload(Reloaded{Replaced: []string{"mine"}})
	if got := w.instance("mine"); got != "aka-1" {
		t.Errorf("named by the config: got %q", got)
	}
	w.write("")
	w.addLines(more)
	w.mustReload(Reloaded{Replaced: []string{"mine"}})
	if got := w.instance("mine"); got != kept {
		t.Errorf("not named any more: got %q", got)
	}
}
