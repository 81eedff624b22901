package cli

import (
	"encoding/json"
	"strings"
)

// demoConfig is the config of the demo. Its destinations are simulated, so the secrets are none.
const demoConfig = `listen: 127.0.0.1:0
sources: { demo: { write_key: demo } }
destinations:
  customerio: { settings: { site_id: simulated, api_key: simulated, merge_wait: 100ms } }
  kissmetrics: { settings: { api_key: simulated } }
  mixpanel: { settings: { token: simulated, id_merge: original } }
  vero: { settings: { auth_token: simulated } }
delivery: { retry: { max_attempts: 5 } }
journal: { dir: "${DEMO_DIR}" }
admin: { listen: 127.0.0.1:0 }
`

// demoWriteKey is the source's in demoConfig.
const demoWriteKey = "demo"

// The people of the story: a visitor's browser, its owner, and Bob.
const (
	visitor = "c0ffee00-1dea-4a11-8a1e-0123456789ab"
	jane    = "jane@example.com"
	bob     = "bob@example.com"
)

// story is what the demo sends, in order. What comes before the first alias is the "before" of its second table.
var story = []act{
	{"Jane and Bob subscribed to the newsletter. A visitor looks around. Nothing shows yet that it is Jane.", []demoCall{
		{Type: "identify", UserID: jane, Traits: traits{"plan": "none"}},
		{Type: "identify", UserID: bob, Traits: traits{"plan": "none"}},
		{Type: "page", Name: "Pricing", AnonymousID: visitor},
		{Type: "track", Event: "Plan Viewed", AnonymousID: visitor},
	}},
	{"She signs up, and becomes user-42. Her aliases join the email and the browser with it.", []demoCall{
		{Type: "alias", PreviousID: jane, UserID: "user-42"},
		{Type: "alias", PreviousID: visitor, AnonymousID: visitor, UserID: "user-42"},
		{Type: "identify", UserID: "user-42", AnonymousID: visitor, Traits: traits{"plan": "free"}},
		{Type: "track", Event: "Signed Up", UserID: "user-42", AnonymousID: visitor},
	}},
	{"Bob signs up too. The integrations of his alias exclude Mixpanel.", []demoCall{
		{Type: "alias", PreviousID: bob, UserID: "user-7", Integrations: map[string]bool{"All": true, "Mixpanel": false}},
	}},
	{"A page sends wrong ids. At a vendor they would merge strangers for good.", []demoCall{
		{Type: "alias", PreviousID: "user-42", UserID: "user-42"},
		{Type: "alias", PreviousID: "null", UserID: "user-42"},
		{Type: "track", Event: "Logged Out", UserID: "undefined"},
	}},
}

// actsBefore is how many acts come before the first alias.
const actsBefore = 1

// act is a part of the story.
type act struct {
	title string
	calls []demoCall
}

type traits map[string]string

// demoCall is a call as an SDK sends it. Its type is the path's.
type demoCall struct {
	Type         string          `json:"-"`
	MessageID    string          `json:"messageId"`
	AnonymousID  string          `json:"anonymousId,omitempty"`
	PreviousID   string          `json:"previousId,omitempty"`
	UserID       string          `json:"userId,omitempty"`
	Event        string          `json:"event,omitempty"`
	Name         string          `json:"name,omitempty"`
	Traits       traits          `json:"traits,omitempty"`
	Integrations map[string]bool `json:"integrations,omitempty"`
}

func (c demoCall) body() []byte {
	body, err := json.Marshal(c)
	if err != nil {
		panic("cli: a call of the story is not JSON: " + err.Error())
	}
	return body
}

// label says in a few words what the call says.
func (c demoCall) label() string {
	words := []string{c.Type}
	if what := c.Event + c.Name; what != "" {
		words = append(words, what)
	}
	switch {
	case c.Type == "alias":
		words = append(words, c.PreviousID, "=", c.UserID)
	case c.UserID != "" && c.AnonymousID != "":
		words = append(words, c.UserID+",", c.AnonymousID)
	default:
		words = append(words, c.UserID+c.AnonymousID)
	}
	for name, on := range c.Integrations {
		if !on {
			words = append(words, "(not for "+name+")")
		}
	}
	return shortID(strings.Join(words, " "))
}

// shortID shortens the one long id, wherever it stands.
func shortID(text string) string { return strings.ReplaceAll(text, visitor, visitor[:6]+"…") }
