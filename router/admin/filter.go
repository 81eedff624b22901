package admin

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"aka/router/journal"
	"aka/router/segment"
	"aka/router/spelling"
	"aka/router/strictyaml"
)

// filter chooses dead letters.
type filter struct {
	journal.DeadFilter
	id, messageID string    // "" is any
	status        *int      // nil is any
	since, before time.Time // of the last attempt
	after, until  uint64    // the id before the first, and the last one's; 0 is no bound
	limit         int
	rate          float64 // 0 is the config's
}

// matches reports whether a dead letter is one of those. The store has chosen by its DeadFilter already.
func (f *filter) matches(d *journal.DeadLetter) bool {
	e := &d.Entry
	return (f.Source == "" || f.Source == e.Source) &&
		(f.id == "" || f.id == e.UserID || f.id == e.AnonymousID || f.id == e.PreviousID) &&
		(f.messageID == "" || f.messageID == e.MessageID) &&
		(f.status == nil || *f.status == d.Status) &&
		!d.Last.Before(f.since) && (f.before.IsZero() || d.Last.Before(f.before))
}

func (f *filter) matchesKind(kind journal.DeadFilter) bool {
	return (f.Destination == "" || f.Destination == kind.Destination) && (f.Reason == "" || f.Reason == kind.Reason) &&
		(f.Type == 0 || f.Type == kind.Type) && (f.Source == "" || f.Source == kind.Source)
}

// What each request can be filtered by.
var (
	summaryFilters = []string{"destination", "reason", "type", "source"}
	bulkFilters    = append(slices.Clone(summaryFilters), "id", "message_id", "status", "since", "before", "after", "until", "limit")
	listFilters    = bulkFilters
	replayFilters  = append(slices.Clone(bulkFilters), "rate")
)

// limits are how many dead letters one request is about: when it does not say, and at most.
type limits struct{ usual, most int }

// The most dead letters that one request is about.
const (
	MaxList = 1000
	MaxBulk = 100_000
)

var (
	listLimits = limits{100, MaxList}
	bulkLimits = limits{1000, MaxBulk}
)

// filter reads the query. It forgives nothing: what it leaves out may be replayed or discarded.
func (h *deadLetters) filter(r *http.Request, known []string, l limits) (f filter, err error) {
	query, err := readQuery(r, known...)
	if err != nil {
		return f, err
	}
	now := time.Now()
	f.limit = l.usual
	read := map[string]func(text string) *problem{
		"destination": func(text string) *problem {
			f.Destination = text
			return h.checkDestination(r.Context(), text)
		},
		"reason": func(text string) *problem {
			f.Reason = text
			return oneOf("reason", text, h.reasons)
		},
		"type":       func(text string) *problem { return readType(&f.Type, text) },
		"source":     func(text string) *problem { return readText(&f.Source, "source", text) },
		"id":         func(text string) *problem { return readText(&f.id, "id", text) },
		"message_id": func(text string) *problem { return readText(&f.messageID, "message_id", text) },
		"status":     func(text string) *problem { return readStatus(&f.status, text) },
		"since":      func(text string) *problem { return readMoment(&f.since, "since", text, now) },
		"before":     func(text string) *problem { return readMoment(&f.before, "before", text, now) },
		"after":      func(text string) *problem { return h.readID(&f.after, "after", text) },
		"until":      func(text string) *problem { return h.readID(&f.until, "until", text) },
		"limit":      func(text string) *problem { return readLimit(&f.limit, text, l.most) },
		"rate":       func(text string) *problem { return readRate(&f.rate, text) },
	}
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if problem := read[key](query[key]); problem != nil {
			return f, problem
		}
	}
	return f, nil
}

// checkDestination takes every destination that is configured, and also one that is not any more but has dead letters.
func (h *deadLetters) checkDestination(ctx context.Context, name string) *problem {
	known := h.destinations()
	if !h.isConfigured(name) {
		kinds, err := h.counts(ctx)
		if err != nil {
			return problemOf(err)
		}
		for _, k := range kinds {
			known = append(known[:len(known):len(known)], k.Destination)
		}
	}
	return oneOf("destination", name, known)
}

func oneOf(key, text string, words []string) *problem {
	if slices.Contains(words, text) {
		return nil
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(words)))
	message := fmt.Sprintf("%s: %q is not known; there are %s%s", key, text, strings.Join(sorted, ", "), spelling.Hint(text, sorted))
	return &problem{http.StatusBadRequest, "unknown_" + key, message}
}

func readType(kind *segment.Type, text string) *problem {
	*kind, _ = segment.ParseType(text)
	return oneOf("type", text, callTypes())
}

func callTypes() []string {
	words := make([]string, len(segment.Types))
	for i, t := range segment.Types {
		words[i] = t.String()
	}
	return words
}

// readText refuses "", which is any: a script's empty variable must not mean everything.
func readText(into *string, key, text string) *problem {
	if text == "" {
		return &problem{http.StatusBadRequest, "invalid_" + key, key + ": is empty"}
	}
	*into = text
	return nil
}

func readStatus(status **int, text string) *problem {
	n, err := strconv.Atoi(text)
	if err != nil || n != 0 && (n < 100 || n > 999) {
		return invalid("status", "an HTTP status, or 0 for no answer", text)
	}
	*status = &n
	return nil
}

func readMoment(at *time.Time, key, text string, now time.Time) *problem {
	if moment, err := time.Parse(time.RFC3339, text); err == nil {
		*at = moment
		return nil
	}
	age, err := strictyaml.ParseDuration(text)
	if err != nil {
		return invalid(key, "a duration such as 24h or 7d, or a time such as 2026-01-02T15:04:05Z", text)
	}
	*at = now.Add(-age)
	return nil
}

func readRate(perSecond *float64, text string) *problem {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= MinRate) || math.IsInf(n, 0) {
		return invalid("rate", fmt.Sprintf("dead letters per second, at least %v", MinRate), text)
	}
	*perSecond = n
	return nil
}

func (h *deadLetters) readID(id *uint64, key, text string) *problem {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return invalid(key, "the id of a "+h.one+", a number", text)
	}
	*id = n
	return nil
}

func readLimit(limit *int, text string, most int) *problem {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return invalid("limit", fmt.Sprintf("1 to %d", most), text)
	}
	*limit = n
	return nil
}

// readQuery returns the query's parameters, each of which must be known and be given once.
func readQuery(r *http.Request, known ...string) (map[string]string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &problem{http.StatusBadRequest, "invalid_query", "query: " + err.Error()}
	}
	values := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(known, key) {
			return nil, unknownParameter(key, known)
		}
		if len(query[key]) > 1 {
			return nil, &problem{http.StatusBadRequest, "invalid_" + key, key + ": given more than once"}
		}
		values[key] = query[key][0]
	}
	return values, nil
}

func unknownParameter(key string, known []string) *problem {
	if len(known) == 0 {
		known = []string{"none"}
	}
	message := fmt.Sprintf("query: %q is no parameter here; there are %s", key, strings.Join(known, ", "))
	return &problem{http.StatusBadRequest, "unknown_parameter", message}
}

func invalid(key, expected, text string) *problem {
	return &problem{http.StatusBadRequest, "invalid_" + key, fmt.Sprintf("%s: expected %s, not %q", key, expected, text)}
}
