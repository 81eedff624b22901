package kissmetrics

import "aka/destinations/adapter"

// Verify implements adapter.Verifier. Kissmetrics answers 200 to everything, so that only its pages show what it took.
func (t *translator) Verify(story adapter.Story) adapter.Verification {
	return adapter.Verification{
		Story:  story,
		Setup:  "the tracking API",
		Unread: "Kissmetrics' tracking API reads nothing back, and answers success to everything",
		Look: []string{
			"one person, found by " + story.Old + " and by " + story.New,
			"the events " + adapter.BeforeEvent + " and " + adapter.AfterEvent + " of that person",
			"the properties " + adapter.BeforeTrait + " and " + adapter.AfterTrait + " of that person",
		},
	}
}
