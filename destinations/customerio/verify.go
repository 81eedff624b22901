package customerio

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"aka/destinations/adapter"
)

// appHosts are the hosts of the App API, which can read people (https://docs.customer.io/integrations/api/app).
var appHosts = map[string]string{
	"us": "https://api.customer.io",
	"eu": "https://api-eu.customer.io",
}

// appBase returns where the App API is. Behind another endpoint it is there, too.
func (t *translator) appBase() string {
	if t.Endpoint != "" {
		return t.base
	}
	return appHosts[t.Region]
}

// Verify implements adapter.Verifier. The App API knows attributes and events of a person, and answers 404 where there is none
// (https://docs.customer.io/integrations/api/app/tag/customers/getPersonAttributes/).
func (t *translator) Verify(story adapter.Story) adapter.Verification {
	if t.Identifiers == IdentifyByEmail {
		story = story.WithEmails()
	}
	v := adapter.Verification{
		Story: story,
		Setup: fmt.Sprintf("identifiers %s, alias %s, merge_wait %s", t.Identifiers, t.Alias, t.MergeWait),
		Keys:  []string{"app_api_key"},
		Look: []string{
			"one person under " + story.New + ", and no other one under " + story.Old,
			"the events " + adapter.BeforeEvent + " and " + adapter.AfterEvent + " in that person's activity",
		},
	}
	if t.Alias == AliasOff {
		v.Look = []string{"two people, " + story.Old + " and " + story.New + ", with an event each"}
	}
	if !t.AppAPIKey.IsSet() {
		v.Unread = "Customer.io's App API can read it back: set app_api_key"
		return v
	}
	if t.Alias == AliasOff {
		v.Checks = []adapter.Check{
			t.hasTraits(story, story.Old, adapter.BeforeTrait), t.hasEvent(story.Old, adapter.BeforeEvent),
			t.hasTraits(story, story.New, adapter.AfterTrait), t.hasEvent(story.New, adapter.AfterEvent),
		}
		return v
	}
	v.Checks = []adapter.Check{
		t.hasTraits(story, story.New, adapter.BeforeTrait, adapter.AfterTrait),
		t.isGone(story),
		t.hasEvent(story.New, adapter.BeforeEvent),
		t.hasEvent(story.New, adapter.AfterEvent),
	}
	return v
}

// hasTraits checks that a person has the story's traits.
func (t *translator) hasTraits(story adapter.Story, id string, traits ...string) adapter.Check {
	return adapter.Check{
		Expected: fmt.Sprintf("a person under %s with %s", id, strings.Join(traits, " and ")),
		Request:  t.askApp(id, "attributes", nil),
		Read: func(answer adapter.Answer) (bool, string) {
			if answer.Status == http.StatusNotFound {
				return false, "there is no person under " + id
			}
			attributes, ok := attributesIn(answer)
			if !ok {
				return false, fmt.Sprintf("the answer (%d) is no person", answer.Status)
			}
			for _, trait := range traits {
				if attributes[trait] != story.Run {
					return false, "the person has no " + trait
				}
			}
			return true, ""
		},
	}
}

// isGone checks that the old id is free, or leads to the person of the new one: the pages do not say whether a merged e-mail moves.
func (t *translator) isGone(story adapter.Story) adapter.Check {
	return adapter.Check{
		Expected: fmt.Sprintf("no other person under %s", story.Old),
		Request:  t.askApp(story.Old, "attributes", nil),
		Read: func(answer adapter.Answer) (bool, string) {
			if answer.Status == http.StatusNotFound {
				return true, "the id is free"
			}
			attributes, ok := attributesIn(answer)
			switch {
			case !ok:
				return false, fmt.Sprintf("the answer (%d) is no person", answer.Status)
			case attributes[adapter.AfterTrait] == story.Run:
				return true, "the id moved to the person of " + story.New
			}
			return false, "there still is a person: the merge did nothing"
		},
	}
}

// hasEvent checks that a person has an event.
func (t *translator) hasEvent(id, event string) adapter.Check {
	return adapter.Check{
		Expected: fmt.Sprintf("the event %s of %s", event, id),
		Request:  t.askApp(id, "activities", url.Values{"type": {"event"}, "name": {event}}),
		Read: func(answer adapter.Answer) (bool, string) {
			var said struct{ Activities []json.RawMessage }
			switch err := json.Unmarshal(answer.Body, &said); {
			case answer.Status == http.StatusNotFound:
				return false, "there is no person under " + id
			case answer.Status != http.StatusOK || err != nil:
				return false, fmt.Sprintf("the answer (%d) is no list of activities", answer.Status)
			case len(said.Activities) == 0:
				return false, "the person has no such event"
			}
			return true, ""
		},
	}
}

// askApp asks about the person of an id.
func (t *translator) askApp(id, about string, query url.Values) adapter.Request {
	who := t.personBy(id)
	values := url.Values{"id_type": {who.kind}}
	for name, value := range query {
		values[name] = value
	}
	return adapter.Request{
		Method: http.MethodGet,
		URL:    t.appBase() + "/v1/customers/" + url.PathEscape(who.value) + "/" + about + "?" + values.Encode(),
		Header: map[string]string{"Authorization": "Bearer " + t.AppAPIKey.Reveal()},
	}
}

// attributesIn returns the attributes of the person in an answer.
func attributesIn(answer adapter.Answer) (attributes map[string]any, ok bool) {
	var said struct {
		Customer *struct{ Attributes map[string]any }
	}
	if answer.Status != http.StatusOK || json.Unmarshal(answer.Body, &said) != nil || said.Customer == nil {
		return nil, false
	}
	return said.Customer.Attributes, true
}
