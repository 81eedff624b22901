package simulator

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// maxControlBody bounds what is posted to the control API.
const maxControlBody = 16 << 20

// controlHandler is the HTTP API that the package comment lists.
func (s *Simulator) controlHandler() http.Handler {
	const account = "/" + controlPath + "/accounts/{name}/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /"+controlPath+"/accounts", s.showAccounts)
	mux.HandleFunc("GET "+account+"graph", s.with(showGraph))
	mux.HandleFunc("GET "+account+"exchanges", s.with(func(w http.ResponseWriter, _ *http.Request, a *Account) {
		writeJSON(w, http.StatusOK, a.Exchanges())
	}))
	mux.HandleFunc("GET "+account+"records", s.with(func(w http.ResponseWriter, _ *http.Request, a *Account) {
		writeJSON(w, http.StatusOK, a.Records())
	}))
	mux.HandleFunc("GET "+account+"refusals", s.with(func(w http.ResponseWriter, _ *http.Request, a *Account) {
		writeJSON(w, http.StatusOK, a.Refusals())
	}))
	mux.HandleFunc("GET "+account+"stats", s.with(func(w http.ResponseWriter, _ *http.Request, a *Account) {
		writeJSON(w, http.StatusOK, a.Stats())
	}))
	mux.HandleFunc("GET "+account+"faults", s.with(showFaults))
	mux.HandleFunc("POST "+account+"faults", s.with(postFaults))
	mux.HandleFunc("DELETE "+account+"faults", s.with(func(w http.ResponseWriter, r *http.Request, a *Account) {
		a.ClearFaults()
		showFaults(w, r, a)
	}))
	mux.HandleFunc("POST "+account+"reset", s.with(func(w http.ResponseWriter, _ *http.Request, a *Account) {
		a.Reset()
		writeJSON(w, http.StatusOK, a.Stats())
	}))
	return refuseBrowsers(mux)
}

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

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
