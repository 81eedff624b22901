package mixpanel

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"aka/destinations/adapter"
)

// queryHosts are the hosts of the Query API, which can read profiles (https://docs.mixpanel.com/reference/engage-query).
var queryHosts = map[string]string{
	"us": "https://mixpanel.com",
	"eu": "https://eu.mixpanel.com",
	"in": "https://in.mixpanel.com",
}

// queryURL is where profiles are read. Behind another endpoint the Query API is there, too.
func (c *Config) queryURL(base string) string {
	if c.Endpoint == "" {
		base = queryHosts[c.Region]
	}
	address := base + "/api/query/engage"
	if c.ServiceAccount != nil {
		address += "?" + url.Values{"project_id": {c.ServiceAccount.ProjectID}}.Encode()
	}
	return address
}

// Verify implements adapter.Verifier. The Query API takes a service account or the API secret, and not the token. It allows 60
// questions an hour, so there is one: the profiles of both ids. Mixpanel does not promise
// which of its ids a merged person keeps.
func (t *translator) Verify(story adapter.Story) adapter.Verification {
	v := adapter.Verification{Story: story, Setup: "id_merge " + string(t.IDMerge), Keys: t.credentialKeys()}
	if t.IDMerge == Original {
		v.Setup += ", alias_strategy " + string(t.AliasStrategy)
	}
	if t.joinsStory() {
		v.Look = []string{fmt.Sprintf("one profile for %s and %s, with the events %s and %s", story.Old, story.New, adapter.BeforeEvent, adapter.AfterEvent)}
	} else {
		v.Look = []string{fmt.Sprintf("two people: %s with the event %s, and %s with the event %s", story.Old, adapter.BeforeEvent, story.New, adapter.AfterEvent)}
	}
	switch {
	case !t.People:
		v.Unread = "Mixpanel's Query API reads profiles, and people is false"
	case t.ServiceAccount == nil && !t.APISecret.IsSet():
		v.Unread = "Mixpanel's Query API can read it back: set service_account"
	default:
		v.Checks = []adapter.Check{t.readProfiles(story)}
	}
	return v
}

// joinsStory reports whether the story's alias makes one person: its ids are two users.
func (t *translator) joinsStory() bool {
	return t.IDMerge == Legacy || t.IDMerge == Original && t.AliasStrategy != AliasIdentify
}

func (t *translator) readProfiles(story adapter.Story) adapter.Check {
	ids, _ := json.Marshal([]string{story.Old, story.New})
	want, expected := 1, "one profile for both ids, with both traits"
	if !t.joinsStory() {
		want, expected = 2, "two profiles, with a trait each: this alias joins no users"
	}
	return adapter.Check{
		Expected: expected,
		Request: adapter.Request{
			Method: http.MethodPost,
			URL:    t.query,
			Header: map[string]string{"Authorization": t.authorization(), "Content-Type": "application/x-www-form-urlencoded"},
			Body:   []byte(url.Values{"distinct_ids": {string(ids)}}.Encode()),
		},
		Read: func(answer adapter.Answer) (bool, string) { return readProfiles(answer, story, want) },
	}
}

// readProfiles looks for the story's traits in so many profiles.
func readProfiles(answer adapter.Answer, story adapter.Story, want int) (ok bool, found string) {
	var said struct {
		Results []struct {
			Properties map[string]any `json:"$properties"`
		} `json:"results"`
	}
	if err := json.Unmarshal(answer.Body, &said); err != nil || answer.Status != http.StatusOK {
		return false, fmt.Sprintf("the answer (%d) is no list of profiles", answer.Status)
	}
	if got := len(said.Results); got != want {
		return false, fmt.Sprintf("profiles found: %d", got)
	}
	for _, trait := range []string{adapter.BeforeTrait, adapter.AfterTrait} {
		has := 0
		for _, profile := range said.Results {
			if profile.Properties[trait] == story.Run {
				has++
			}
		}
		if has != 1 {
			return false, fmt.Sprintf("%d profiles have %s", has, trait)
		}
	}
	return true, ""
}
