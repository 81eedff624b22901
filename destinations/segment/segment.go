// Package segment passes calls on to Segment, and to what speaks its API: RudderStack, Jitsu, Customer.io's Pipelines and another aka.
// It translates nothing: the upstream's own destinations see the call that they would have seen.
package segment

import (
	"crypto/md5" // Segment's Repeater writes it
	"encoding/hex"
	"fmt"
	"net/http"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Vendor is Segment in the table of destinations. It takes no messageId twice, so nothing does harm that comes again.
var Vendor = adapter.Vendor{
	Names:  []string{"Segment", "Segment Connections", "Repeater"},
	Order:  adapter.OrderIdentity,
	Stable: true,
	New:    New,
}

type translator struct {
	Config
	base        string
	environment adapter.Environment
	header      map[string]string
	batch       *adapter.Batch
	// keyDigest is the MD5 of the write key, by which Segment's Repeater names a source.
	keyDigest string
}

// limits bound a batch: 500 KB and 2500 calls at Segment, 500 KB at Customer.io, 4 MB at RudderStack. Jitsu states none. Another aka takes
// 4 MiB, as sent, and 5000 calls by default.
var limits = map[Flavor]adapter.Batch{
	FlavorSegment:     {MaxItems: 2500, MaxBytes: 500_000},
	FlavorRudderStack: {MaxItems: 2500, MaxBytes: 4_000_000},
	FlavorJitsu:       {MaxItems: 1000, MaxBytes: 500_000},
	FlavorCustomerIO:  {MaxItems: 1000, MaxBytes: 500_000},
	FlavorAka:         {MaxItems: 5000, MaxBytes: 4_000_000},
}

const (
	batchPath = "/batch"
	aliasPath = "/alias"
	batchKey  = "batch"
	// clock stands in an envelope where the time of the attempt goes.
	clock = "<sentAt>"
)

func newTranslator(config Config, base string, environment adapter.Environment) *translator {
	header := map[string]string{"Authorization": basic(config.WriteKey.Reveal()), "Content-Type": "application/json"}
	if *config.Gzip {
		header["Content-Encoding"] = "gzip"
	}
	if config.Flavor == FlavorCustomerIO {
		header["X-Strict-Mode"] = "1" // else it answers 200 to everything
	}
	digest := md5.Sum([]byte(config.WriteKey.Reveal()))
	t := &translator{Config: config, base: base, environment: environment, header: header, keyDigest: hex.EncodeToString(digest[:])}
	t.batch = t.batchOf("")
	return t
}

// batchOf is the batch of calls that say the same in their integrations, where the upstream asks the envelope alone.
func (t *translator) batchOf(integrations string) *adapter.Batch {
	batch := limits[t.Flavor]
	batch.Key, batch.Before, batch.After, batch.Separator = batchKey, `{"batch":[`, "]", ","
	if t.SentAt == SentAtAttempt { // before what a call says, which may hold the same text
		batch.Clock = clock
		batch.After += `,"sentAt":"` + clock + `"`
	}
	if integrations != "" {
		batch.Key += " " + digestOf(integrations)
		batch.After += `,"integrations":` + integrations
	}
	batch.After += "}"
	return &batch
}

// Order implements adapter.Ordered. Behind Customer.io and behind another aka are destinations that act when a call arrives.
func (t *translator) Order() adapter.Order {
	if t.Flavor == FlavorAka || t.Flavor == FlavorCustomerIO {
		return adapter.OrderStrict
	}
	return adapter.OrderIdentity
}

// Translate implements adapter.Adapter.
func (t *translator) Translate(call *segment.Call) adapter.Outcome {
	item, integrations, loops := t.item(call)
	switch {
	case loops:
		return adapter.Drop(adapter.ForwardingLoop)
	case *t.MaxCallBytes > 0 && len(item) > *t.MaxCallBytes:
		return adapter.Reject(fmt.Errorf("call: too large for the upstream: %d bytes", len(item)))
	case t.Flavor == FlavorCustomerIO && call.Type == segment.Alias:
		return adapter.Send(adapter.Request{Method: http.MethodPost, URL: t.base + aliasPath, Header: t.header, Body: item})
	}
	batch := t.batch
	if t.Flavor == FlavorCustomerIO && integrations != "" {
		batch = t.batchOf(integrations)
	}
	return adapter.Send(adapter.Request{Method: http.MethodPost, URL: t.base + batchPath, Header: t.header, Body: item, Batch: batch})
}
