package vero

import "aka/destinations/adapter"

// Verify implements adapter.Verifier. Vero's Track API reads nothing back (https://help.getvero.com/track-api-reference).
func (t *translator) Verify(story adapter.Story) adapter.Verification {
	return adapter.Verification{
		Story:  story,
		Setup:  "the Track API",
		Unread: "Vero's API reads nothing back",
		Look: []string{
			"one person under " + story.New + ", and none under " + story.Old,
			"the properties " + adapter.BeforeTrait + " and " + adapter.AfterTrait + " of that person",
			"the events " + adapter.BeforeEvent + " and " + adapter.AfterEvent + " of that person",
		},
	}
}
