package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
)

// maxControlBody bounds what is posted to the control API.
const maxControlBody = 16 << 20

// operation is one thing that the control API does.
type operation struct {
	method, path, does string
	serve              http.HandlerFunc
}

// operations are the control API.
func (s *Simulator) operations() []operation {
	const account = "/" + controlPath + "/accounts/{name}/"
	return []operation{
		{"GET", "/" + controlPath + "/accounts", "every account: name, vendor, endpoint, counts", s.showAccounts},
		{"GET", account + "graph", "the people; ?format=text for reading", s.with(showGraph)},
		{"GET", account + "exchanges", "the HTTP exchanges, in order of arrival", s.with(showing((*Account).Exchanges))},
		{"GET", account + "records", "what the vendor took, in order", s.with(showing((*Account).Records))},
		{"GET", account + "refusals", "what the vendor threw away without a word", s.with(showing((*Account).Refusals))},
		{"GET", account + "stats", "the counts", s.with(showing((*Account).Stats))},
		{"GET", account + "faults", "the faults that stand", s.with(showFaults)},
		{"POST", account + "faults", "add a fault, or an array of them", s.with(postFaults)},
		{"DELETE", account + "faults", "end all faults and release what hangs", s.with(clearFaults)},
		{"POST", account + "reset", "forget all exchanges, records and people", s.with(reset)},
	}
}

// controlHandler serves the control API, and says what it is at the root and at its own.
func (s *Simulator) controlHandler() http.Handler {
	mux := http.NewServeMux()
	for _, o := range s.operations() {
		mux.HandleFunc(o.method+" "+o.path, o.serve)
	}
	for _, root := range []string{"/{$}", "/" + controlPath, "/" + controlPath + "/{$}"} {
		mux.HandleFunc("GET "+root, s.showOperations)
	}
	return refuseBrowsers(mux)
}

// showOperations is for people: what can be asked here, and one fault to try.
func (s *Simulator) showOperations(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintf(w, "Simulated vendors. Their control API at %s, with JSON:\n\n", s.url)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, o := range s.operations() {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", o.method, strings.Replace(o.path, "{name}", "NAME", 1), o.does)
	}
	_ = table.Flush()
	name := "NAME"
	if accounts := s.list(); len(accounts) > 0 {
		name = accounts[0].Name()
	}
	_, _ = fmt.Fprintf(w, "\nTwo answers that tell aka to wait:\n\n  curl -d '%s' %s/%s/accounts/%s/faults\n", faultToTry, s.url, controlPath, name)
}

const faultToTry = `{"status": 429, "header": {"Retry-After": "7"}, "times": 2}`

// refuseBrowsers keeps other sites' pages from driving a simulator on the reader's machine.
func refuseBrowsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" {
			writeError(w, http.StatusForbidden, errors.New("not for pages of other sites"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// with finds the account of the path.
func (s *Simulator) with(serve func(http.ResponseWriter, *http.Request, *Account)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		account := s.Account(r.PathValue("name"))
		if account == nil {
			writeError(w, http.StatusNotFound, errors.New("no such account"))
			return
		}
		serve(w, r, account)
	}
}

func (s *Simulator) showAccounts(w http.ResponseWriter, _ *http.Request) {
	type shown struct {
		Name     string `json:"name"`
		Vendor   string `json:"vendor"`
		Endpoint string `json:"endpoint"`
		Stats    Stats  `json:"stats"`
	}
	all := []shown{}
	for _, a := range s.list() {
		all = append(all, shown{a.Name(), a.Vendor(), a.Endpoint(), a.Stats()})
	}
	writeJSON(w, http.StatusOK, all)
}

// showing answers with what the account says of itself.
func showing[T any](of func(*Account) T) func(http.ResponseWriter, *http.Request, *Account) {
	return func(w http.ResponseWriter, _ *http.Request, a *Account) { writeJSON(w, http.StatusOK, of(a)) }
}

func showGraph(w http.ResponseWriter, r *http.Request, a *Account) {
	graph := a.Graph()
	if r.URL.Query().Get("format") == "text" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, graph.String())
		return
	}
	writeJSON(w, http.StatusOK, graph)
}

func showFaults(w http.ResponseWriter, _ *http.Request, a *Account) {
	all := []faultJSON{}
	for _, fault := range a.Faults() {
		all = append(all, fault.wire())
	}
	writeJSON(w, http.StatusOK, all)
}

func postFaults(w http.ResponseWriter, r *http.Request, a *Account) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControlBody))
	if err != nil {
		writeError(w, http.StatusRequestEntityTooLarge, err)
		return
	}
	all, err := parseFaults(body)
	if err == nil {
		err = a.AddFaults(all...)
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	showFaults(w, r, a)
}

func clearFaults(w http.ResponseWriter, r *http.Request, a *Account) {
	a.ClearFaults()
	showFaults(w, r, a)
}

func reset(w http.ResponseWriter, _ *http.Request, a *Account) {
	a.Reset()
	writeJSON(w, http.StatusOK, a.Stats())
}

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
