package adapter

import (
	"maps"

	"aka/router/segment"
)

// PageEvents is the `page_events` setting: which page and screen calls become events.
type PageEvents string

const (
	// PagesAll makes an event of every page and screen.
	PagesAll PageEvents = "all"
	// PagesNamed takes only those with a name.
	PagesNamed PageEvents = "named"
	// PagesCategorized takes only those with a category.
	PagesCategorized PageEvents = "categorized"
	// PagesNone takes none.
	PagesNone PageEvents = "none"
)

// Check returns a mistake of the key `page_events` unless it is one of the four words.
func (p PageEvents) Check() error {
	return OneOf("page_events", string(p), string(PagesAll), string(PagesNamed), string(PagesCategorized), string(PagesNone))
}

// Takes tells whether a page or screen becomes an event.
func (p PageEvents) Takes(call *segment.Call) bool {
	switch p {
	case PagesNamed:
		return call.Name != ""
	case PagesCategorized:
		return call.Category != ""
	}
	return p == PagesAll
}

// PageKind returns "Page" or "Screen", for the name of the event that the call becomes.
func PageKind(call *segment.Call) string {
	if call.Type == segment.Screen {
		return "Screen"
	}
	return "Page"
}

// PageProperties returns the properties of a page or screen, its name and category among them. The map is the caller's
// own; the values in it are the call's.
func PageProperties(call *segment.Call) map[string]any {
	properties := maps.Clone(call.Properties)
	if call.Name != "" {
		properties["name"] = call.Name
	}
	if call.Category != "" {
		properties["category"] = call.Category
	}
	return properties
}
