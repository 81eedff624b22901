package ingress

import (
	"testing"

	"gopkg.in/segmentio/analytics-go.v3"

	"aka/router/segment"
)

// TestSegmentsOwnGoSDK sends through the SDK as it is: the key as Basic user, the library in the envelope's context.
func TestSegmentsOwnGoSDK(t *testing.T) {
	s := start(t, testConfig())
	sdk, err := analytics.NewWithConfig(testKey, analytics.Config{Endpoint: "http://router", Transport: s.client.Transport})
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range []analytics.Message{
		analytics.Track{AnonymousId: "old", Event: "Signed Up"},
		analytics.Alias{UserId: "new", PreviousId: "old", MessageId: "m2"},
		analytics.Identify{UserId: "new", Traits: analytics.NewTraits().SetEmail("jen@email.com")},
	} {
		if err := sdk.Enqueue(message); err != nil {
			t.Fatal(err)
		}
	}
	// Close returns once everything was sent.
	if err := sdk.Close(); err != nil {
		t.Fatal(err)
	}
	if len(s.entries) != 3 {
		t.Fatalf("%d calls came", len(s.entries))
	}
	alias := s.entries[1]
	if alias.Type != segment.Alias || alias.MessageID != "m2" || alias.UserID != "new" || alias.PreviousID != "old" || alias.Timestamp.After(alias.ReceivedAt) {
		t.Errorf("%+v", alias.Header)
	}
	decoded, err := alias.Decode()
	if err != nil {
		t.Fatal(err)
	}
	if library, _ := decoded.Context()["library"].(map[string]any); library["name"] != "analytics-go" {
		t.Errorf("context %v", decoded.Context())
	}
}
