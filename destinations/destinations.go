// Package destinations is the table of vendors, and makes configured destinations of them. What goes to a destination and
// what comes back passes through here as data; the sending is the router's.
package destinations

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/destinations/customerio"
	"aka/destinations/http"
	"aka/destinations/kissmetrics"
	"aka/destinations/mixpanel"
	upstream "aka/destinations/segment"
	"aka/destinations/vero"
	"aka/destinations/webhook"
	"aka/router/segment"
	"aka/router/transform"
)

// Vendors is the table: a vendor's type in the config, and its adapter. A new vendor is one more line.
var Vendors = map[string]adapter.Vendor{
	"customerio":  customerio.Vendor,
	"http":        http.Vendor,
	"kissmetrics": kissmetrics.Vendor,
	"mixpanel":    mixpanel.Vendor,
	"segment":     upstream.Vendor,
	"vero":        vero.Vendor,
	"webhook":     webhook.Vendor,
}

// Types returns the known vendor types, sorted.
func Types() []string { return slices.Sorted(maps.Keys(Vendors)) }

// StableTypes returns the types of the vendors that are in the example config and in the docs, sorted.
func StableTypes() []string {
	return slices.DeleteFunc(Types(), func(name string) bool { return !Vendors[name].Stable })
}

// Destination is one configured vendor. It is safe for concurrent use once it is set up.
type Destination struct {
	// Name is its name in the config, in metrics and in logs; Type is its vendor's.
	Name, Type string
	// Names are its names in a call's `integrations`: its own name, the vendor's, and what the config adds. They and
	// Lenient stay as they are once a call was filtered.
	Names []string
	// Dry has everything done but the exchanges: a call that would go out ends as would_send.
	Dry bool
	// Lenient forgives case and spaces in those names.
	Lenient bool
	// Order is how strictly one person's calls are kept in order. The vendor's, unless the config says otherwise.
	Order adapter.Order
	// Renames tells that nothing that ended before an alias may come again after it: see adapter.Vendor.
	Renames bool
	// MaxConcurrency is how many exchanges at once the vendor allows; 0 is no limit.
	MaxConcurrency int
	// RememberMerges keeps a memory of the merges that were delivered, and drops aliases by it: see adapter.Merger. It is on where the
	// adapter is one, unless the config says otherwise.
	RememberMerges bool
	// Settle is how long calls of the same person wait after an alias was delivered.
	Settle time.Duration
	// Adapter is the vendor's translator. Call it through Translate, which guards it.
	Adapter adapter.Adapter
	// Masker hides the destination's secrets in text that is shown. Nil hides nothing.
	Masker *adapter.Masker
	// Transform is the destination's own filter and transform. Nil lets every call through as it is.
	Transform *transform.Program
	// Routes remembers what was decided by calls' `integrations`. Nil remembers nothing.
	Routes *segment.Routes

	guard adapter.Guard
}

// New builds a destination from its settings, with what its vendor says by default. The error lists every mistake in the
// settings, each an *adapter.SettingError.
func New(name, vendorType string, settings adapter.Settings) (*Destination, error) {
	vendor, ok := Vendors[vendorType]
	if !ok {
		return nil, fmt.Errorf("unknown vendor %q; known are %s", vendorType, strings.Join(Types(), ", "))
	}
	a, err := vendor.New(settings)
	if err != nil {
		return nil, err
	}
	shared := a.Shared()
	d := &Destination{
		Name:    name,
		Type:    vendorType,
		Names:   append([]string{name}, vendor.Names...),
		Order:   vendor.Order,
		Renames: vendor.Renames, MaxConcurrency: vendor.MaxConcurrency,
		Adapter: a,
		Routes:  &segment.Routes{},
		guard:   adapter.NewGuard(shared.BlockedIDs),
	}
	if ordered, ok := a.(adapter.Ordered); ok {
		d.Order = ordered.Order()
	}
	if named, ok := a.(adapter.Named); ok {
		d.Names = append(d.Names, named.Names()...)
	}
	if renamer, ok := a.(adapter.Renamer); ok {
		d.Renames = renamer.Renames()
	}
	_, d.RememberMerges = d.Merger()
	if shared.Settle != nil {
		d.Settle = *shared.Settle
	}
	return d, nil
}

// Filter decides whether a call goes to this destination at all, by its header alone: the reason is "" when it does. allowed
// are the destinations of the call's source; none listed is all of them. The decision is that of the call's `integrations`. The error
// is that of a filter which fails: then the call is to be rejected.
func (d *Destination) Filter(allowed []string, m *segment.Message) (segment.Decision, adapter.Reason, error) {
	if len(allowed) > 0 && !slices.Contains(allowed, d.configName()) {
		return segment.Decision{}, adapter.FilteredBySource, nil
	}
	decision := d.Route(m)
	if !decision.Enabled {
		return decision, adapter.FilteredByIntegrations, nil
	}
	passes, err := d.Transform.PassesHeader(&m.Header)
	if err == nil && !passes {
		return decision, adapter.FilteredByDestination, nil
	}
	return decision, "", err
}

// configName is its name in the config, which is not that of its dry run.
func (d *Destination) configName() string {
	if len(d.Names) > 0 {
		return d.Names[0]
	}
	return d.Name
}

// Route reads what the call's `integrations` say about this destination.
func (d *Destination) Route(m *segment.Message) segment.Decision {
	return d.Routes.Route(m.Routing, d.Names, d.Lenient)
}

// Prepare returns a call that Filter has let through as the adapter is to get it: as the destination's transform edits it. The reason is ""
// unless the rest of the destination's filter leaves the call out. An error of filter or transform means that the call is to be
// rejected. The call is not modified. Translate, Next and Merges take what Prepare returns.
func (d *Destination) Prepare(call *segment.Call) (prepared *segment.Call, reason adapter.Reason, err error) {
	if d.Transform == nil {
		return call, "", nil
	}
	passes, err := d.Transform.Passes(call)
	switch {
	case err != nil:
		return nil, "", err
	case !passes:
		return nil, adapter.FilteredByDestination, nil
	}
	prepared, err = d.Transform.Apply(call)
	return prepared, "", err
}

// Translate says what the call means here, after the guard has checked its ids, and within the bounds of what one call may
// become. A condition is left to the memory of merges; without one, a call that has one is dropped. The call is not modified.
func (d *Destination) Translate(call *segment.Call) adapter.Outcome {
	outcome := adapter.Translate(d.guard, d.Adapter, call)
	if !d.RememberMerges {
		return outcome.WithoutMemory()
	}
	return outcome
}

// Next says what comes after the answers to those requests of a call that ask. The call is not modified.
func (d *Destination) Next(call *segment.Call, before []adapter.Request, answered []adapter.Answered) adapter.Outcome {
	return adapter.Next(d.Adapter, call, before, answered)
}

// Merger returns the adapter as one that says what is merged, and false when it is none.
func (d *Destination) Merger() (adapter.Merger, bool) {
	m, ok := d.Adapter.(adapter.Merger)
	return m, ok
}

// Merges says what the call makes of its ids here once it was delivered; ok is false when that is nothing.
func (d *Destination) Merges(call *segment.Call) (m adapter.Merge, ok bool) {
	return adapter.MergeOf(d.Adapter, call)
}

// Judge reads the answer to one exchange: one verdict per request, in order.
func (d *Destination) Judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	return adapter.Judge(d.Adapter, requests, answer)
}
