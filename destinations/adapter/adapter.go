// Package adapter is the contract between the router and a vendor. An adapter says what one call means to its vendor,
// as data; sending, ordering, batching and retrying are the router's. To add a vendor, write a folder with a New and a
// Translate, and one line in the destinations table.
//
// A vendor's answer to a batch may refuse it and not say which record is at fault. If the vendor then took nothing of it, the
// adapter's Judge gives every request the class Isolate. The router sends the batch again in halves, until the record at fault
// is alone and is refused; the others are delivered. Split is the same for a batch that is too large. Where the answer says that the
// vendor did nothing with a call, Judge gives it the class Dropped and a reason: the call is counted as dropped.
//
// Some vendors need an answer before the next request can be made: find, then write. The request that finds has Asks, and the
// adapter is a Stepper: its Next makes the following requests of the answers so far.
//
// A request may name how it is signed, by Sign. The sender signs each try anew. It may name a Rate, where the vendor takes fewer such
// requests than others.
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
	"io/fs"
	"slices"
	"strings"
	"time"

	"aka/router/segment"
)

// Adapter is one configured destination's translator. Embed a Config that embeds Common, and Shared is there.
type Adapter interface {
	// Translate says what one call means to this destination. It does no I/O, reads no clock and keeps no state; equal
	// calls give equal outcomes, byte for byte. It is safe for concurrent use and must not modify the call. The guard has
	// passed before: userId, anonymousId, previousId and a group call's groupId are not blocked and not too long, an alias has
	// a userId and another previousId. Every other call has a userId or an anonymousId, and a track a name. The guard does not
	// see ids among the traits and properties, groupIds of other calls, and push tokens: NewGuard checks those. One call
	// becomes at most MaxRequests and MaxBytes: beyond that, and after a panic, it is rejected.
	Translate(*segment.Call) Outcome
	// Shared returns the settings that every vendor has.
	Shared() Common
}

// Responder is implemented by an adapter whose vendor's answers cannot be read off the status alone: a 200 that means
// no, failures per record, a success by which the vendor is known. Of one that is not, an answer means what Answer.Verdict says.
type Responder interface {
	// Judge reads the answer to one HTTP exchange and returns one verdict per request, in order. It is what says which answers
	// are a success: no web page is one, whatever its status, which adaptertest checks unless Vendor.AnyBody is set.
	Judge(requests []Request, answer Answer) []Verdict
}

// Ordered is implemented by an adapter whose settings decide which order its vendor needs. Of one that is not, it is Vendor.Order.
type Ordered interface {
	// Order is what the vendor needs unless the config says otherwise.
	Order() Order
}

// Addressed is implemented by an adapter whose requests go to an address that the settings name, beside endpoint. Before anything is
// sent there, aka refuses one that is private, unless the config allows it.
type Addressed interface {
	// Address returns the setting's key and the address; "" is none.
	Address() (key, address string)
}

// Vendor is one line of the destinations table.
type Vendor struct {
	// Names are the names that the vendor has in a call's `integrations`, in the exact case. The destination's own
	// name counts too.
	Names []string
	// Order is what the vendor needs unless the config says otherwise.
	Order Order
	// Renames tells that an alias renames the one profile that there is, so that a call under the old id after it makes a
	// second person: nothing that ended before an alias may come again after a crash.
	Renames bool
	// MaxConcurrency is how many exchanges at once the vendor allows, by its documentation; 0 is no limit.
	MaxConcurrency int
	// AnyBody says that a 2xx is a success whatever its body is, a web page too: the receiver is the operator's own program.
	AnyBody bool
	// Stable says that the vendor is in the example config and in the docs: it has a page in docs/vendors and a docs.yaml in its
	// folder. One that is not works the same.
	Stable bool
	// Starter is what a new config begins with, where the keys that are required say too little. May be nil.
	Starter *Starter
	// New builds an adapter from its settings. Its error lists every mistake, each a *SettingError (errors.Join them,
	// that of Decode too).
	New func(Settings) (Adapter, error)
}

// Starter is a destination to begin with.
type Starter struct {
	// Destination is the section of one destination as YAML, by its name.
	Destination string
	// Files has the files of its folder `cases`, which the section names.
	Files fs.FS
}

// Settings is a destination's `settings` section, still to be decoded.
type Settings interface {
	// Decode fills in the struct that into points to, strictly: an unknown key, a wrong type or an unreadable secret is a
	// mistake. It may be reported elsewhere, with its line, while Decode returns nil: so that all mistakes are known at once,
	// go on to your own checks either way. Fields keep their values where the section says nothing, so set the defaults
	// before. A field is named by its `yaml` tag and is a string, bool, int, int64, float64, time.Duration, Secret or Tree, what
	// implements encoding.TextUnmarshaler, or a struct, pointer, slice or map by string of these; others panic.
	Decode(into any) error
}

// Common is what every vendor's Config embeds, with `yaml:",inline"`.
type Common struct {
	// Endpoint is another base URL, for proxies, tests and simulators. Default: the vendor's.
	Endpoint string `yaml:"endpoint"`
	// BlockedIDs are ids that no call to this destination may have, in any case. Placeholders such as "null" are blocked
	// everywhere.
	BlockedIDs []string `yaml:"blocked_ids"`
	// Settle is how long a person's calls wait after a delivered alias. Default: the vendor's.
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
	// OrderStrict delivers each person's calls one at a time, as they arrived. It is for vendors that act on a call when it
	// arrives, and ignore its own time.
	OrderStrict Order = "strict"
	// OrderNone keeps no order.
	OrderNone Order = "none"
)

// Named is implemented by an adapter whose settings decide the names that its vendor has in a call's `integrations`. They come beside
// Vendor.Names.
type Named interface {
	Names() []string
}

// Renamer is implemented by an adapter whose settings decide what Vendor.Renames says of others.
type Renamer interface {
	Renames() bool
}

// Identified is implemented by an adapter that cannot be compared with another by its fields, because it is compiled.
type Identified interface {
	// Identity is equal for adapters of equal settings, their secrets included, and only for those. It shows nothing of a secret.
	Identity() string
}

// Leaf is an expression of a destination's settings, and what it made of a call: for people to read, in explain.
type Leaf struct {
	// Key is the path below `settings`, Expression its text.
	Key, Expression string
	// Value is what it made; Missing tells that this is nothing, and Err why it made none.
	Value   any
	Missing bool
	Err     error
}

// Leafer is implemented by an adapter that makes requests with expressions.
type Leafer interface {
	// Leaves returns the expressions that were asked for a call, in order. It is held to the same as Translate.
	Leaves(*segment.Call) []Leaf
}

// Outcome is what one call means to a destination. Exactly one of Requests, Dropped and Rejected is set; build it with Send,
// Drop or Reject.
type Outcome struct {
	// Requests go in order, each after the one before succeeded.
	Requests []Request
	// Dropped says why nothing is to be sent.
	Dropped Reason
	// Note, beside Dropped, is a constant text that tells drops of one reason apart, such as those for Other. It is shown and kept with the
	// call, and is in no metric.
	Note string
	// Rejected says why the call cannot be translated: it becomes a dead letter.
	Rejected error
	// Condition, beside Requests, must hold when the call's turn comes. Nil is none.
	Condition *Condition
	// Ignored are the options of the call that make no sense, as paths of constant names such as
	// "integrations.Vero.tags.add". A bad option never keeps the call itself from going.
	Ignored []string
}

// Condition lets the requests of a call go only if the memory of merges knows that somebody lives under an id at the vendor: a
// call with that userId was delivered there, and no rename since has taken the id away. It is for an adapter that is a Merger.
type Condition struct {
	// UsedID is that id, as the vendor gets it.
	UsedID string
	// Else is why the call is dropped otherwise. Without a memory it always is.
	Else Reason
}

// OnlyIfUsed returns the outcome with the condition that the id is used at the vendor, where it sends anything.
func (o Outcome) OnlyIfUsed(id string, otherwise Reason) Outcome {
	if len(o.Requests) > 0 {
		o.Condition = &Condition{id, otherwise}
	}
	return o
}

// WithoutMemory returns what comes of the outcome where no merges are remembered: a call with a condition is dropped.
func (o Outcome) WithoutMemory() Outcome {
	if o.Condition != nil {
		return Drop(o.Condition.Else)
	}
	return o
}

// WithoutMerges returns the outcome without the requests that merge. If no other is left, the call is dropped for the reason.
func (o Outcome) WithoutMerges(reason Reason) Outcome {
	if !slices.ContainsFunc(o.Requests, func(r Request) bool { return r.Merges }) {
		return o
	}
	o.Requests = slices.DeleteFunc(slices.Clone(o.Requests), func(r Request) bool { return r.Merges })
	if len(o.Requests) == 0 {
		o.Requests, o.Condition = nil, nil
		o.Dropped = reason
	}
	return o
}

// IgnoredOption is the diagnostic of an option in Outcome.Ignored. It stands before the option's path.
const IgnoredOption = "ignored_option"

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

// Wait is how long the requests wait for each other in all.
func (o Outcome) Wait() (sum time.Duration) {
	for i, r := range o.Requests {
		if i < len(o.Requests)-1 {
			sum += min(r.Wait, MaxWait)
		}
	}
	return sum
}

// Request is one HTTP exchange as data. A retry sends the same bytes, except for Batch.Clock.
type Request struct {
	// Method is the HTTP method; URL is absolute, its query included.
	Method, URL string
	// Header holds the headers beside Host and Content-Length. `Content-Encoding: gzip` makes the sender compress the
	// body, after batching; Body itself is always plain.
	Header map[string]string
	Body   []byte
	// Merges marks a request that merges two ids, of a call that is no alias. It is left out if a rule of `merges` does not allow
	// the merge, and the call's other requests go. See Merge.FirstUserOnly.
	Merges bool
	// Asks marks a request whose answer decides what comes next: see Stepper. It goes alone, and is the last of its outcome; of others
	// the mark says nothing.
	Asks bool
	// Rate bounds how often exchanges with such requests begin, beside what the destination's own rate allows; nil is no bound.
	Rate *Rate
	// Sign says how the sender signs the request; nil is not at all.
	Sign *Sign
	// Batch tells that Body is one JSON value that may travel with others; nil sends Body as it is.
	Batch *Batch
	// Wait is how long the call's next request waits once this one has succeeded: for a vendor that needs time to take it in. The
	// calls of the same person wait, too, and nothing is in flight meanwhile. A call that ended in a crash or a restart begins
	// again with its first request, and waits in full. At most MaxWait; that of the last request says nothing.
	Wait time.Duration
}

// Rate is a limit of the vendor's for some requests, such as those to one endpoint. What learns the destination's pace from 429 knows
// nothing of it.
type Rate struct {
	// Key names what is limited. There are few of them, none by what a call holds. All requests of a key say the same.
	Key string
	// PerSecond is how many exchanges may begin in a second, evenly: 0.5 is one every two seconds.
	PerSecond float64
}

// MaxWait is the longest Request.Wait: longer ones are cut to it.
const MaxWait = time.Minute

// Batch lets requests of the same Key go together, in one exchange with the first one's method, URL and header. A batchable request
// is sent in the same form when it is alone.
type Batch struct {
	Key string
	// MaxItems and MaxBytes bound the exchange: items, and bytes of its body before compression. Zero is no bound.
	MaxItems, MaxBytes int
	// Before and After stand around the items, Separator between two of them: for a vendor that takes {"batch":[…]}, or a line
	// each. Where all three are "", the items are a JSON array.
	Before, After, Separator string
	// Clock, where it is not "", is the part of After in whose place the time of the attempt stands, as 2026-01-02T03:04:05.000Z.
	Clock string
}

// Envelope returns what stands around the items of a batch, and between two.
func (b *Batch) Envelope() (before, after, separator string) {
	if b.Before == "" && b.After == "" && b.Separator == "" {
		return "[", "]", ","
	}
	return b.Before, b.After, b.Separator
}

// Body returns the body of the exchange that carries the requests: several only where they have one batch key.
func Body(requests []Request) []byte { return BodyAt(requests, time.Time{}) }

// BodyAt is Body for an attempt at a time. The zero time leaves Batch.Clock as it is.
func BodyAt(requests []Request, at time.Time) []byte {
	batch := requests[0].Batch
	if batch == nil {
		return requests[0].Body
	}
	before, after, separator := batch.Envelope()
	if batch.Clock != "" && !at.IsZero() {
		after = strings.Replace(after, batch.Clock, at.UTC().Format("2006-01-02T15:04:05.000Z"), 1)
	}
	size := len(before) + len(after)
	for _, r := range requests {
		size += len(r.Body) + len(separator)
	}
	body := append(make([]byte, 0, size), before...)
	for i, r := range requests {
		if i > 0 {
			body = append(body, separator...)
		}
		body = append(body, r.Body...)
	}
	return append(body, after...)
}
