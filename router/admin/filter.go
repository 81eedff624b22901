package admin

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/strictyaml"
)

// filter chooses dead letters.
type filter struct {
	destination, reason string    // "" is any
	since               time.Time // of the last attempt
	after               uint64    // the id before the first
	limit               int
}

// matches tells whether a dead letter, of the destination already, is one of those.
func (f *filter) matches(d *journal.DeadLetter) bool {
	return (f.reason == "" || f.reason == d.Reason) && !d.Last.Before(f.since)
}

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
func (s *Server) filter(r *http.Request, l limits) (f filter, err error) {
	query, err := readQuery(r, "destination", "reason", "since", "after", "limit")
	if err != nil {
		return f, err
	}
	f.limit = l.usual
	read := map[string]func(text string) *problem{
		"destination": func(text string) *problem {
			f.destination = text
			return oneOf("destination", text, s.Destinations)
		},
		"reason": func(text string) *problem {
			f.reason = text
			return oneOf("reason", text, deadReasons())
		},
		"since": func(text string) *problem { return readSince(&f.since, text, time.Now()) },
		"after": func(text string) *problem { return readID(&f.after, "after", text) },
		"limit": func(text string) *problem { return readLimit(&f.limit, text, l.most) },
	}
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if problem := read[key](query[key]); problem != nil {
			return f, problem
		}
	}
	return f, nil
}

func deadReasons() []string {
	words := make([]string, len(adapter.DeadReasons))
	for i, reason := range adapter.DeadReasons {
		words[i] = string(reason)
	}
	return words
}

func oneOf(key, text string, words []string) *problem {
	if slices.Contains(words, text) {
		return nil
	}
	message := fmt.Sprintf("%s: %q is not known; there are %s", key, text, strings.Join(slices.Sorted(slices.Values(words)), ", "))
	return &problem{http.StatusBadRequest, "unknown_" + key, message}
}

func readSince(since *time.Time, text string, now time.Time) *problem {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		*since = at
		return nil
	}
	age, err := strictyaml.ParseDuration(text)
	if err != nil {
		return invalid("since", "a duration such as 24h or 7d, or a time such as 2026-01-02T15:04:05Z", text)
	}
	*since = now.Add(-age)
	return nil
}

func readID(id *uint64, key, text string) *problem {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return invalid(key, "the id of a dead letter, a number", text)
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
