// Package adapter is the contract between the router and a vendor. An adapter says what one call means to its vendor,
// as data; sending, ordering, batching and retrying are the router's. To add a vendor, write a folder with a New and a
// Translate, and one line in the destinations table.
//
// What a call holds is in `go doc aka/router/segment.Call` and .Header, how an adapter is tested in
// `go doc aka/destinations/adapter/adaptertest`, and docs/adding-a-vendor.md goes through a whole one with its config and
// tests. One for a single type of call is this:
//
//	var Vendor = adapter.Vendor{Names: []string{"Acme"}, Order: adapter.OrderIdentity, New: New}
//
//	type Config struct {
//		adapter.Common `yaml:",inline"`
//		// Token is the account's token. Required.
//		Token adapter.Secret `yaml:"token"`
//	}
//
//	type translator struct {
//		Config
//		base string
//	}
//
//	func New(settings adapter.Settings) (adapter.Adapter, error) {
//		var config Config
//		problems := []error{settings.Decode(&config)}
//		if !config.Token.IsSet() {
//			problems = append(problems, adapter.Required("token"))
//		}
//		base, err := config.BaseURL("https://api.acme.example")
//		if err := errors.Join(append(problems, err)...); err != nil {
//			return nil, err
//		}
//		return &translator{config, base}, nil
//	}
//
//	func (t *translator) Translate(call *segment.Call) adapter.Outcome {
//		if call.Type != segment.Alias {
//			return adapter.Drop(adapter.NothingToSend)
//		}
//		body, err := adapter.Encode(map[string]any{"from": call.PreviousID, "to": call.UserID})
//		if err != nil {
//			return adapter.Reject(errors.New("call: holds a value that is not JSON"))
//		}
//		return adapter.Send(adapter.Request{
//			Method: http.MethodPost,
//			URL:    t.base + "/merge",
//			Header: map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + t.Token.Reveal()},
//			Body:   body,
//		})
//	}
package adapter

import (
	"time"

	"aka/router/segment"
)

// Adapter is one configured destination's translator. Embed a Config that embeds Common, and Shared is there.
type Adapter interface {
	// Translate says what one call means to this destination. It does no I/O, reads no clock and keeps no state; equal
	// calls give equal outcomes, byte for byte. It is safe for concurrent use and must not modify the call. The guard has
	// passed before: userId, anonymousId and previousId are not blocked and not too long, an alias has a userId and
	// another previousId. Every other call has a userId or an anonymousId, and a track a name. Nobody has looked at a
	// groupId, or at ids among the traits and properties: NewGuard checks those. One call becomes no more than MaxRequests
	// and MaxBytes: beyond that, and after a panic, it is rejected.
	Translate(*segment.Call) Outcome
	// Shared returns the settings that every vendor has.
	Shared() Common
}

// Responder is implemented by an adapter whose vendor's answers cannot be read off the status alone: a 200 that means
// no, failures per record, a success by which the vendor is known. Of one that is not, an answer means what Answer.Verdict says.
type Responder interface {
	// Judge reads the answer to one HTTP exchange and returns one verdict per request, in order. It is what says which answers
	// are a success: no web page is one, whatever its status, which adaptertest checks.
	Judge(requests []Request, answer Answer) []Verdict
}

// Vendor is one line of the destinations table.
type Vendor struct {
	// Names are the names that the vendor goes by in a call's `integrations`, in the exact case. The destination's own
	// name counts too.
	Names []string
	// Order is what the vendor needs unless the config says otherwise.
	Order Order
	// Renames tells that an alias renames the one profile that there is, so that a call under the old id after it makes a
	// second person: nothing that ended before an alias may come again after a crash.
	Renames bool
	// Stable says that the vendor is in the example config and in the docs: it has a page in docs/vendors and a docs.yaml in its
	// folder. One that is not works the same.
	Stable bool
	// New builds an adapter from its settings. Its error lists every mistake, each a *SettingError (errors.Join them,
	// that of Decode too).
	New func(Settings) (Adapter, error)
}

// Settings is a destination's `settings` section, still to be decoded.
type Settings interface {
	// Decode fills in the struct that into points to, strictly: an unknown key, a wrong type or an unreadable secret is a
	// mistake. It may be told elsewhere, with its line, while Decode returns nil: so that all mistakes are known at once,
	// go on to your own checks either way. Fields keep their values where the section says nothing, so set the defaults
	// before. A field is named by its `yaml` tag and is a string, bool, int, int64, float64, time.Duration or Secret, what
	// implements encoding.TextUnmarshaler, or a struct, pointer, slice or map by string of these; others panic.
	Decode(into any) error
}

// Common is what every vendor's Config embeds, with `yaml:",inline"`.
type Common struct {
	// Endpoint is another base URL, for proxies, tests and simulators. Default: the vendor's.
	Endpoint string `yaml:"endpoint"`
	// BlockedIDs are ids that no call to this destination may carry, beside those that stand for nobody everywhere, such as
	// "null". Any case.
	BlockedIDs []string `yaml:"blocked_ids"`
	// Settle is how long a person's calls wait after an alias was delivered. Default: the vendor's.
	//
	// Its New puts that here; nil is no time.
	Settle *time.Duration `yaml:"settle"`
}

// Shared implements part of Adapter for whatever embeds Common.
func (c Common) Shared() Common { return c }

// Order is how strictly one person's calls are kept in order at a destination.
type Order string

const (
	// OrderIdentity lets calls of one person overtake each other, but never an alias, identify or group.
	OrderIdentity Order = "identity"
	// OrderStrict delivers each person's calls one at a time, as they arrived. It is for vendors who act on a call when it
	// comes, whatever time it carries.
	OrderStrict Order = "strict"
	// OrderNone keeps no order.
	OrderNone Order = "none"
)

// Outcome is what one call means to a destination. Exactly one field is set; build it with Send, Drop or Reject.
type Outcome struct {
	// Requests go in order, each after the one before succeeded.
	Requests []Request
	// Dropped says why nothing is to be sent.
	Dropped Reason
	// Rejected says why the call cannot be translated: it becomes a dead letter.
	Rejected error
}

// Send is the outcome of a call that becomes one or more HTTP exchanges, in order.
func Send(requests ...Request) Outcome { return Outcome{Requests: requests} }

// Drop is the outcome of a call that means nothing to this destination. It counts as a success.
func Drop(reason Reason) Outcome { return Outcome{Dropped: reason} }

// Reject is the outcome of a call that is malformed for this destination. The error names the field and what was
// expected, and holds no id, trait or secret: it is logged and kept with the dead letter.
func Reject(err error) Outcome { return Outcome{Rejected: err} }

// Size is how many bytes the URLs, headers and bodies of all requests hold together: about what the outcome costs in memory.
// It is 0 for one that sends nothing.
func (o Outcome) Size() int {
	size := 0
	for _, r := range o.Requests {
		size += len(r.URL) + len(r.Body)
		for name, value := range r.Header {
			size += len(name) + len(value)
		}
	}
	return size
}

// Request is one HTTP exchange as data. A retry sends the same bytes.
type Request struct {
	// Method is the HTTP method; URL is absolute, its query included.
	Method, URL string
	// Header holds the headers beside Host and Content-Length. `Content-Encoding: gzip` makes the sender compress the
	// body, after batching; Body itself is always plain.
	Header map[string]string
	Body   []byte
	// Batch tells that Body is one JSON value that may travel in an array with others; nil sends Body as it is.
	Batch *Batch
}

// Batch lets requests of the same Key go as one JSON array, in one exchange with the first one's method, URL and header.
// A batchable request is sent as an array even when it is alone.
type Batch struct {
	Key string
	// MaxItems and MaxBytes bound the array: items, and bytes before compression. Zero is no bound.
	MaxItems, MaxBytes int
}
