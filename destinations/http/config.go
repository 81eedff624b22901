package http

import (
	"errors"
	"time"

	"aka/destinations/adapter"
)

// Config is the `settings` section of a destination that is described in the config itself, with expressions. An expression is
// checked when the config is read. A member has a value, or the call is rejected; a name that ends in ? may be left out.
type Config struct {
	adapter.Common `yaml:",inline"`
	// Names are the vendor's names in a call's integrations, beside the destination's own. Default: none.
	Names []string `yaml:"names"`
	// Secrets are tokens and passwords by a name of your own. Expressions use them as secrets.NAME. Default: none.
	Secrets map[string]adapter.Secret `yaml:"secrets"`
	// Constants are values by names of your own, nested at will. Expressions use them as constants.NAME. Default: none.
	Constants adapter.Tree `yaml:"constants"`
	// Order is how strictly one person's calls are kept in order. Default strict.
	Order adapter.Order `yaml:"order"`
	// Renames tells that an alias renames the one profile that there is, so that a call under the old id makes a second person.
	// Default false.
	Renames bool `yaml:"renames"`
	// MaxIDLength is the longest userId and previousId that the vendor takes, in characters. Calls with longer ones are dropped.
	// 1 to 255. Default 255.
	MaxIDLength int `yaml:"max_id_length"`
	// Success is what an answer must hold to count as a success. No web page ever does. Default any.
	Success Success `yaml:"success"`
	// Drop has the calls that are dropped: the first rule whose condition holds. It comes before the rules of the call.
	Drop []DropRule `yaml:"drop"`
	// Calls say what each type of call becomes, by its name: alias, identify, track, page, screen, group. Others are dropped.
	// Required.
	Calls map[string]Call `yaml:"calls" example:"track"`
	// Then has requests that follow those of any call that sends something: each whose condition holds.
	Then []Request `yaml:"then"`
	// Ignored has the options in a call's integrations that make no sense. They are reported, and the call is sent.
	Ignored []IgnoredRule `yaml:"ignored"`
	// Merges is what a call does to ids at the vendor, where its own section does not say.
	Merges Merges `yaml:"merges"`
	// Answers say what the vendor's answers mean: the first rule that fits. Otherwise the status decides.
	Answers []AnswerRule `yaml:"answers"`
	// PerItem reads the answer to a batch that lists single items.
	PerItem PerItem `yaml:"per_item"`
	// Probe is a request that changes nothing, by which aka check finds out whether the vendor takes the secrets.
	Probe Probe `yaml:"probe"`
}

// Success is what the body of a success must be.
type Success string

const (
	AnyBody    Success = "any"    // anything but a web page
	ObjectBody Success = "object" // a JSON object, or nothing
)

// Call is what one type of call becomes.
type Call struct {
	// Drop has the calls that are dropped: the first rule whose condition holds.
	Drop []DropRule `yaml:"drop"`
	// Send has the requests to choose from: the first whose condition holds is sent. Where none does, the call is dropped.
	Send []Request `yaml:"send"`
	// Then has the requests that follow: each whose condition holds.
	Then []Request `yaml:"then"`
	// Merges is what the call does to ids at the vendor.
	Merges Merges `yaml:"merges"`
	// IfUsed lets the call go only where the memory of merges knows an id at the vendor.
	IfUsed IfUsed `yaml:"if_used"`
}

// Request is one request, or one for each element of a list.
type Request struct {
	// If is the condition, an expression. Default: always.
	If adapter.Tree `yaml:"if"`
	// Request is the method and the path below endpoint, such as POST /users/{userId}. What stands in braces is an expression, and its
	// value is escaped. With = before it, the whole is an expression. Required.
	Request adapter.Tree `yaml:"request"`
	// JSONBody is the body: a tree whose values that begin with = are expressions.
	JSONBody adapter.Tree `yaml:"json"`
	// FormBody is the body as a form, in place of json.
	FormBody adapter.Tree `yaml:"form"`
	// Query holds the parameters of the URL.
	Query adapter.Tree `yaml:"query"`
	// Headers are beside Content-Type, which follows from the body.
	Headers adapter.Tree `yaml:"headers"`
	// IDs are expressions of ids that the request carries beside the call's own: the call is dropped where one is blocked or too long.
	IDs []adapter.Tree `yaml:"ids"`
	// Each is an expression of a list: one request for each element, which is item.
	Each adapter.Tree `yaml:"each"`
	// Batch lets requests travel together.
	Batch *Batch `yaml:"batch"`
	// Rate bounds how often such requests begin, where the vendor takes fewer of them than of others.
	Rate *Rate `yaml:"rate"`
	// Wait is how long the next request of the same call waits after this one: at most 1m. Default 0s.
	Wait time.Duration `yaml:"wait"`
	// Merges marks the request of a call that is no alias, but merges two ids. Default false.
	Merges bool `yaml:"merges"`
}

// Batch is what travels together. The json of each is one item.
type Batch struct {
	// Key names what goes together. Requests with another URL or other headers go apart. Default: the method and the path.
	Key string `yaml:"key"`
	// MaxItems is how many items one request may have. 0 is any number. Default 0.
	MaxItems int `yaml:"max_items"`
	// MaxBytes is how long the body may be. 0 is any length. Default 0.
	MaxBytes int `yaml:"max_bytes"`
	// Before stands before the items, such as {"events":[. Default: [ where none of the three is given.
	Before string `yaml:"before"`
	// After stands after the items, such as ]}. Default: ] where none of the three is given.
	After string `yaml:"after"`
	// Separator stands between two items. Default: a comma.
	Separator string `yaml:"separator"`
}

// Rate is a limit of the vendor's for some requests.
type Rate struct {
	// Key names what is limited. Requests with the same key share the rate. Default: the request alone.
	Key string `yaml:"key"`
	// PerSecond is how many may begin in a second; 0.5 is one every two seconds. Required.
	PerSecond float64 `yaml:"per_second"`
}

// DropRule drops calls.
type DropRule struct {
	// When is the condition, an expression. Required.
	When adapter.Tree `yaml:"when"`
	// Reason is one of the reasons of dropped calls, such as nothing_to_send. The reason other needs a note. Required.
	Reason string `yaml:"reason"`
	// Note says in up to 100 bytes why, as a constant text: aka explain shows it, and it is kept with a kept drop. It is in no metric.
	// Default none.
	Note string `yaml:"note"`
}

// IgnoredRule reports an option.
type IgnoredRule struct {
	// When is the condition, an expression. Required.
	When adapter.Tree `yaml:"when"`
	// Option is its path, such as integrations.Acme.tags. Required.
	Option string `yaml:"option"`
}

// Merges is what a call does to ids at the vendor.
type Merges struct {
	// If is the condition, an expression. Default: always.
	If adapter.Tree `yaml:"if"`
	// Rule is what the vendor makes of the two ids.
	Rule string `yaml:"rule" words:"joins gives_from gives_to names renames absorbs uses"`
	// From is an expression of the id that is merged or renamed. Rule uses has none.
	From adapter.Tree `yaml:"from"`
	// To is an expression of the id that it becomes.
	To adapter.Tree `yaml:"to"`
	// Limit is the number of ids at which the vendor refuses to make one person of so many. 0 is no limit. Default 0.
	Limit int `yaml:"limit"`
	// Device is the condition under which an id of the rule uses may be a device's, an expression. Default: never.
	Device adapter.Tree `yaml:"device"`
}

// IfUsed is a condition on the memory of merges.
type IfUsed struct {
	// If is the condition under which the memory is asked, an expression. Default: always.
	If adapter.Tree `yaml:"if"`
	// ID is an expression of the id.
	ID adapter.Tree `yaml:"id"`
	// Else is the reason for which the call is dropped otherwise.
	Else string `yaml:"else"`
}

// AnswerRule is what some answers mean. All that it says must hold.
type AnswerRule struct {
	// Call is the type of call whose requests it is about. Default: all.
	Call string `yaml:"call"`
	// Status are the statuses. Default: all.
	Status []int `yaml:"status"`
	// When is the condition, an expression of status, body and afterPossibleDelivery. body is decoded JSON. Default: always.
	When adapter.Tree `yaml:"when"`
	// AfterPossibleDelivery holds where an earlier try was not answered, so that the vendor may have acted on it. Default: either.
	AfterPossibleDelivery *bool `yaml:"after_possible_delivery"`
	// Verdict is what the answer means. Required.
	Verdict string `yaml:"verdict" words:"delivered later never operator split isolate dropped"`
	// Note is a short constant that tells verdicts apart. Of dropped it is the reason.
	Note string `yaml:"note"`
	// Detail is an expression of what is kept with a dead letter. Default: the start of the body.
	Detail adapter.Tree `yaml:"detail"`
	// OneCall tells that a refusal is about the call alone, whatever the status: it says nothing of the account or the endpoint.
	// Default false.
	OneCall bool `yaml:"one_call"`
}

// PerItem reads a list in the answer to a batch. Items that it says nothing of have the verdict of the whole.
type PerItem struct {
	// Status are the statuses of such answers. Default: 200, 201, 202 and 207.
	Status []int `yaml:"status"`
	// List is an expression of the list.
	List adapter.Tree `yaml:"list"`
	// Index is an expression of the place that an element is about, from 0. The element is item.
	Index adapter.Tree `yaml:"index"`
	// Match is a path that an element and its request's json both have, such as user.id, in place of index.
	Match string `yaml:"match"`
	// When is the condition under which an element counts, an expression of item. Default: always.
	When adapter.Tree `yaml:"when"`
	// Verdict is what becomes of the request.
	Verdict string `yaml:"verdict" words:"delivered later never dropped"`
	// Note is a short constant that tells verdicts apart. Of dropped it is the reason.
	Note string `yaml:"note"`
	// Detail is an expression of what is kept with a dead letter, of item. Default: the element.
	Detail adapter.Tree `yaml:"detail"`
}

// Probe is a request that names no person and keeps nothing.
type Probe struct {
	// Request is the method and the path below endpoint.
	Request adapter.Tree `yaml:"request"`
	// JSONBody is the body.
	JSONBody adapter.Tree `yaml:"json"`
	// FormBody is the body as a form, in place of json.
	FormBody adapter.Tree `yaml:"form"`
	// Query holds the parameters of the URL.
	Query adapter.Tree `yaml:"query"`
	// Headers are beside Content-Type.
	Headers adapter.Tree `yaml:"headers"`
	// Keys are the settings that a refusal is about, such as secrets.token.
	Keys []string `yaml:"keys"`
	// Advice is a sentence on what else may be behind a refusal.
	Advice string `yaml:"advice"`
}

// New builds the adapter. Its error lists every mistake in the settings.
func New(settings adapter.Settings) (adapter.Adapter, error) {
	config := Config{Order: adapter.OrderStrict, MaxIDLength: adapter.MaxIDLength, Success: AnyBody}
	err := settings.Decode(&config)
	c := newCompiler(&config)
	t := c.translator()
	if err := errors.Join(append([]error{err}, c.mistakes...)...); err != nil {
		return nil, err
	}
	return t.asAdapter(), nil
}
