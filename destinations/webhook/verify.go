package webhook

import "aka/destinations/adapter"

// Verify implements adapter.Verifier. A receiver of webhooks reads nothing back.
func (t *translator) Verify(story adapter.Story) adapter.Verification {
	return adapter.Verification{
		Story:  story,
		Setup:  "signature " + string(t.Signature),
		Unread: "a receiver reads nothing back",
		Look: []string{
			"one call of each type of `types`, for " + story.Old + " before the alias and for " + story.New + " after it",
			"a signature that your program has verified, for each of them",
		},
	}
}
