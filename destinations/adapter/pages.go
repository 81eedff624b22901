package adapter

import (
	"cmp"
	"maps"
	"strings"

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

// Takes reports whether a page or screen becomes an event.
func (p PageEvents) Takes(call *segment.Call) bool {
	switch p {
	case PagesNamed:
		return PageName(call) != ""
	case PagesCategorized:
		return PageCategory(call) != ""
	}
	return p == PagesAll
}

// PageName returns the name of a page or screen without the space around it, "" for none. A blank one is none.
func PageName(call *segment.Call) string { return label(call.Name, call.Properties["name"]) }

// PageCategory returns the category of a page or screen in the same way.
func PageCategory(call *segment.Call) string {
	return label(call.Category, call.Properties["category"])
}

func label(own string, property any) string {
	text, _ := property.(string)
	return cmp.Or(strings.TrimSpace(own), strings.TrimSpace(text))
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
	if name := PageName(call); name != "" {
		properties["name"] = name
	}
	if category := PageCategory(call); category != "" {
		properties["category"] = category
	}
	return properties
}
