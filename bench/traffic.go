package main

import (
	"fmt"
	"net/url"
	"strings"

	"aka/e2e/harness"
)

// recordBytes is about what the journal keeps of a call beside its JSON.
const recordBytes = 100

// callBytes is about what one call takes in the journal.
func callBytes(t harness.Traffic) int {
	bytes, calls := t.Size()
	return bytes/calls + recordBytes
}

// trafficMaker makes traffic for the server at base. The integrations are "" for every destination.
type trafficMaker func(base *url.URL, integrations string) harness.Traffic

// toNoVendor is for calls that no destination wants.
const toNoVendor = `,"integrations":{"All":false}`

const contextJSON = `{"ip":"203.0.113.7","locale":"en-GB","library":{"name":"analytics.js","version":"2.11.1"},` +
	`"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"}`

// aliasWorkload is one alias, some 400 bytes.
func aliasWorkload(integrations string) *harness.Workload {
	return &harness.Workload{Kinds: []string{"alias"}, Ranks: []int{0}, Call: func(person, step int) string {
		return fmt.Sprintf(`{"type":"alias","messageId":"%s","previousId":"%s","userId":"%s","context":%s%s}`,
			harness.MessageID(person, step), harness.OldID(person), harness.NewID(person), contextJSON, integrations)
	}}
}

// aliases is one call per request.
func aliases(base *url.URL, integrations string) harness.Traffic {
	return aliasWorkload(integrations).Singles(base)
}

// batchCalls is how many calls a batch has.
const batchCalls = 100

// aliasBatches is a hundred of them per request.
func aliasBatches(base *url.URL, integrations string) harness.Traffic {
	return aliasWorkload(integrations).Batches(base, batchCalls)
}

// mixedKinds is what each person does in mixed traffic: one alias, two identifies, six tracks and a page.
var mixedKinds = []string{"identify", "track", "track", "track", "alias", "identify", "page", "track", "track", "track"}

// mixedWorkload is calls of some 1,000 bytes but for the alias. Only what changes an identity has a place in the order. The
// Mixpanel has no identity to link for the anonymousId, so that each call is one delivery.
func mixedWorkload(integrations string) *harness.Workload {
	w := &harness.Workload{Kinds: mixedKinds, Ranks: []int{0, 1, 1, 1, 4, 5, 6, 6, 6, 6}}
	w.Call = func(person, step int) string {
		id := harness.OldID(person)
		if step > w.AliasStep() {
			id = harness.NewID(person)
		}
		return mixedCall(mixedKinds[step], id, person, step, integrations)
	}
	return w
}

// mixedCall is one of some 1,000 bytes, of a user, but for an alias.
func mixedCall(kind, userID string, person, step int, integrations string) string {
	if kind == "alias" {
		return aliasWorkload(integrations).Call(person, step)
	}
	own := map[string]string{
		"identify": `"traits":{"step":%q,"plan":"pro","company":"Initech","title":"Engineer","city":"Berlin","country":"DE","seats":12}`,
		"track":    `"event":"Order Viewed","properties":{"step":%q,"order":"50314b8e9bcf000000000000","total":27.5,"currency":"EUR","coupon":"hasbros","products":3,"gift":false}`,
		"page":     `"name":"Pricing","properties":{"step":%q,"title":"Pricing","url":"https://app.example/pricing?ref=mail","path":"/pricing","referrer":"https://www.example/"}`,
	}[kind]
	return fmt.Sprintf(`{"type":%q,"messageId":"%s","userId":"%s","anonymousId":"8f2c4a10-0000-1000-8000-000%s",`+own+`,"context":%s%s}`,
		kind, harness.MessageID(person, step), userID, harness.Number(person), harness.Mark(person, step), wideContext, integrations)
}

// identitiesWorkload is a person who is identified, gets another id, and is identified again.
func identitiesWorkload(integrations string) *harness.Workload {
	kinds := []string{"identify", "alias", "identify", "identify"}
	return &harness.Workload{Kinds: kinds, Ranks: []int{0, 1, 2, 3}, Call: func(person, step int) string {
		id := harness.OldID(person)
		if step > 1 {
			id = harness.NewID(person)
		}
		return mixedCall(kinds[step], id, person, step, integrations)
	}}
}

// tracksWorkload is what most people do: nothing that changes who they are.
func tracksWorkload(integrations string) *harness.Workload {
	return &harness.Workload{Kinds: []string{"track", "track", "track", "track"}, Ranks: []int{0, 0, 0, 0}, Call: func(person, step int) string {
		return mixedCall("track", harness.NewID(person), person, step, integrations)
	}}
}

// smallTracksWorkload is the same by calls of some 400 bytes.
func smallTracksWorkload(integrations string) *harness.Workload {
	return &harness.Workload{Kinds: []string{"track", "track", "track", "track"}, Ranks: []int{0, 0, 0, 0}, Call: func(person, step int) string {
		return fmt.Sprintf(`{"type":"track","messageId":"%s","userId":"%s","event":"Order Viewed","properties":{"step":%q,"total":27.5},"context":%s%s}`,
			harness.MessageID(person, step), harness.NewID(person), harness.Mark(person, step), contextJSON, integrations)
	}}
}

// workloads are what people do, by the names that a sink knows.
var workloads = map[string]func(integrations string) *harness.Workload{
	"alias": aliasWorkload, "mixed": mixedWorkload, "identities": identitiesWorkload, "tracks": tracksWorkload, "small-tracks": smallTracksWorkload,
}

// wideContext is what browsers send.
var wideContext = strings.TrimSuffix(contextJSON, "}") + `,"timezone":"Europe/Berlin","screen":{"width":2560,"height":1440,"density":2},` +
	`"page":{"path":"/pricing","referrer":"https://www.example/","search":"?ref=mail","title":"Pricing","url":"https://app.example/pricing?ref=mail"},` +
	`"campaign":{"name":"spring","source":"mail","medium":"newsletter","term":"","content":"header"}}`

// mixed is one call per request.
func mixed(base *url.URL, integrations string) harness.Traffic {
	return mixedWorkload(integrations).Singles(base)
}

// mixedBatches is ten people's calls per request.
func mixedBatches(base *url.URL, integrations string) harness.Traffic {
	return mixedWorkload(integrations).Batches(base, batchCalls/len(mixedKinds))
}

// workloadBatches is a hundred calls of a workload per request.
func workloadBatches(of func(integrations string) *harness.Workload) trafficMaker {
	return func(base *url.URL, integrations string) harness.Traffic {
		w := of(integrations)
		return w.Batches(base, batchCalls/w.Steps())
	}
}

// deviceBatches is the same as browsers send it, with the clocks of their pages.
func deviceBatches(base *url.URL, integrations string) harness.Traffic {
	w := mixedWorkload(integrations)
	call := w.Call
	w.Call = func(person, step int) string {
		return strings.Replace(call(person, step), `"context":{`, strings.TrimSuffix(harness.DeviceContext(step), "}")+",", 1)
	}
	return w.DeviceBatches(base, batchCalls/len(mixedKinds))
}

// zippedBatches is the same as gzip.
func zippedBatches(base *url.URL, integrations string) harness.Traffic {
	t := mixedBatches(base, integrations)
	t.Zipped = true
	return t
}
