package admin

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const index = `aka, the operator's server. A browser shows its page at this address.

GET    /healthz                    200 while the process lives
GET    /readyz                     200 while calls can be taken, else 503 and why
GET    /metrics                    metrics for Prometheus
GET    /dead-letters               calls that were given up on, oldest first
GET    /dead-letters/summary       how many there are, by destination and reason
GET    /dead-letters/{id}          one of them, with the call
POST   /dead-letters/{id}/replay   send it to its destination again
DELETE /dead-letters/{id}          remove it for good
POST   /dead-letters/replay        replay all that match
POST   /dead-letters/discard       discard all that match
GET    /merges                     the ledger: every merge, sent or not, newest first; with id=ID those of one id
GET    /merges/{number}            one entry of it
GET    /merges/export              the ledger as NDJSON, oldest first
POST   /merges/import              take merges from before aka: a CSV file, with destination=NAME
GET    /merges/held                aliases that wait for a decision, oldest first
GET    /merges/held/summary        how many there are, by destination, rule and source
GET    /merges/held/{id}           one of them, with the evidence
POST   /merges/held/{id}/approve   send it; POST /merges/held/{id}/refuse: drop it
POST   /merges/approve             approve all that match; POST /merges/refuse: refuse them
GET    /merges/decisions           decisions in advance; POST with rule=RULE, until=24h and verdict=approved or refused adds one
DELETE /merges/decisions/{destination}/{number}  end one
GET    /dropped                    dropped calls that are kept; each path of /dead-letters is there under /dropped, too
GET    /destinations               how each destination does
GET    /destinations/{name}        one of them
GET    /identity?id=ID             the ids it was merged with, and the calls that touched it lately
GET    /live                       what is recorded of the calls while somebody looks
GET    /live/calls                 the newest calls, and where each stands at every destination
GET    /live/calls/{id}            one of them: every step, and what each destination would be sent
GET    /live/events                the same as they change, as server-sent events
POST   /explain?source=NAME        what each destination would be sent for a body, without sending it
POST   /destinations/{name}/pause  send it nothing until it is resumed
POST   /destinations/{name}/resume go on; with anyway=true, a destination that refuses every call: those that wait may die
DELETE /destinations/{name}        forget what waits for one that is not configured any more
POST   /reload                     apply the config file as it is now
POST   /drain                      take no more calls, and end when all have been delivered
DELETE /drain                      take calls again; GET tells how far it is
GET    /log/level                  the least important line that is logged
PUT    /log/level?level=LEVEL      change it; with for=10m, until then
GET    /access                     what you may do: full, or read
GET    /login                      the form to sign in with a token; POST /logout to sign out

Dead letters and dropped calls are chosen by destination=NAME, reason=REASON, type=TYPE, source=NAME, id=ID (a userId, anonymousId or
previousId), message_id=ID, status=CODE, since=24h and before=1h (or a time, RFC 3339), after=ID, until=ID and limit=N. A
list goes on with after=NEXT; a replay or discard of many that says "more" is asked again, with until=UNTIL. A replay of many
takes rate=N, dead letters per second, to go slower than dead_letters.replay_rate.

The ledger is filtered by id=ID, destination=NAME, rule=RULE, verdict=VERDICT, source=NAME, since=24h and until=1h. A list goes on
with before=NEXT. Held aliases are chosen by destination=NAME, rule=RULE, source=NAME and before=1h (held before then); to
decide about all takes all=true. A decision that says "left" is asked again, with before=BEFORE and without all.

Where admin.token_file or admin.read_token_file is set, every path but /healthz and /readyz takes "Authorization: Bearer
TOKEN"; the read token changes nothing. Where neither is, what changes something takes the header "X-Aka-Admin: 1".
`

// routes is the whole API, with what holds for every request of it.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/{$}", methods{"GET": http.HandlerFunc(showIndex)})
	mux.Handle("/ui/{file}", methods{"GET": http.HandlerFunc(showFile)})
	mux.Handle("/healthz", methods{"GET": http.HandlerFunc(alive)})
	mux.Handle("/readyz", methods{"GET": http.HandlerFunc(s.health.ready)})
	mux.Handle("/metrics", methods{"GET": promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{ErrorLog: s.http.ErrorLog})})
	mux.Handle("/dead-letters", methods{"GET": s.answer(s.dead.list)})
	mux.Handle("/dead-letters/summary", methods{"GET": s.answer(s.dead.summary)})
	mux.Handle("/dead-letters/{id}", methods{"GET": s.answer(s.dead.show), "DELETE": s.answer(s.dead.discard)})
	mux.Handle("/dead-letters/{id}/replay", methods{"POST": s.answer(s.dead.replay)})
	mux.Handle("/dead-letters/replay", methods{"POST": s.answer(s.dead.replayAll)})
	mux.Handle("/dead-letters/discard", methods{"POST": s.answer(s.dead.discardAll)})
	mux.Handle("/merges", methods{"GET": s.answer(s.merges.list)})
	mux.Handle("/merges/{number}", methods{"GET": s.answer(s.merges.show)})
	mux.Handle("/merges/export", methods{"GET": http.HandlerFunc(s.merges.export)})
	mux.Handle("/merges/import", methods{"POST": s.answerTo(s.merges.importFile)})
	mux.Handle("/merges/held", methods{"GET": s.answer(s.merges.listHeld)})
	mux.Handle("/merges/held/summary", methods{"GET": s.answer(s.merges.summary)})
	mux.Handle("/merges/held/{id}", methods{"GET": s.answer(s.merges.showHeld)})
	mux.Handle("/merges/held/{id}/approve", methods{"POST": s.answer(s.merges.approve)})
	mux.Handle("/merges/held/{id}/refuse", methods{"POST": s.answer(s.merges.refuse)})
	mux.Handle("/merges/approve", methods{"POST": s.answer(s.merges.approveAll)})
	mux.Handle("/merges/refuse", methods{"POST": s.answer(s.merges.refuseAll)})
	mux.Handle("/merges/decisions", methods{"GET": s.answer(s.merges.decisions), "POST": s.answer(s.merges.addDecision)})
	mux.Handle("/merges/decisions/{destination}/{number}", methods{"DELETE": s.answer(s.merges.removeDecision)})
	mux.Handle("/dropped", methods{"GET": s.answer(asDropped(s.dropped.list))})
	mux.Handle("/dropped/summary", methods{"GET": s.answer(asDropped(s.dropped.summary))})
	mux.Handle("/dropped/{id}", methods{"GET": s.answer(s.dropped.show), "DELETE": s.answer(s.dropped.discard)})
	mux.Handle("/dropped/{id}/replay", methods{"POST": s.answer(s.dropped.replay)})
	mux.Handle("/dropped/replay", methods{"POST": s.answer(s.dropped.replayAll)})
	mux.Handle("/dropped/discard", methods{"POST": s.answer(s.dropped.discardAll)})
	mux.Handle("/destinations/{name}/pause", methods{"POST": s.answer(s.control.pause)})
	mux.Handle("/destinations/{name}/resume", methods{"POST": s.answer(s.control.resume)})
	mux.Handle("/reload", methods{"POST": s.answer(s.control.reload)})
	mux.Handle("/drain", methods{"GET": s.answer(s.control.showDrain), "POST": s.answer(s.control.drain), "DELETE": s.answer(s.control.cancelDrain)})
	mux.Handle("/explain", methods{"POST": s.answer(s.explain.answer)})
	mux.Handle("/log/level", methods{"GET": s.answer(s.levels.show), "PUT": s.answer(s.levels.set)})
	mux.Handle("/access", methods{"GET": s.answer(s.guard.access)})
	mux.Handle("/login", methods{"GET": http.HandlerFunc(s.guard.askToken), "POST": http.HandlerFunc(s.guard.signIn)})
	mux.Handle("/logout", methods{"POST": http.HandlerFunc(s.guard.signOut)})
	mux.Handle("/destinations", methods{"GET": s.answer(s.destinations.list)})
	mux.Handle("/destinations/{name}", methods{"GET": s.answer(s.destinations.show), "DELETE": s.answer(s.control.forget)})
	mux.Handle("/identity", methods{"GET": s.answer(s.live.identity)})
	mux.Handle("/live", methods{"GET": s.answer(s.live.showLive)})
	mux.Handle("/live/calls", methods{"GET": s.answer(s.live.listCalls)})
	mux.Handle("/live/calls/{id}", methods{"GET": s.answer(s.live.showCall)})
	mux.Handle("/live/events", methods{"GET": http.HandlerFunc(s.live.events)})
	mux.Handle("/", http.HandlerFunc(notFound))
	return withHeaders(s.recovered(s.guard.handler(mux)))
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	refuse(w, &problem{http.StatusNotFound, "not_found", "there is nothing at this path; GET / lists what there is"})
}

// methods are the handlers of one path. HEAD goes as GET; every other method is refused.
type methods map[string]http.Handler

// ServeHTTP implements http.Handler.
func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if handler, ok := m[method]; ok {
		handler.ServeHTTP(w, r)
		return
	}
	allowed := slices.Sorted(maps.Keys(m))
	if m[http.MethodGet] != nil {
		allowed = append(allowed, http.MethodHead)
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	refuse(w, &problem{http.StatusMethodNotAllowed, "method_not_allowed", "expected " + strings.Join(allowed, " or ")})
}

// withHeaders sets what every answer has, and bounds every body.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "DENY")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'") // a page says what else it needs
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		w.Header().Set("Referrer-Policy", "same-origin") // with less, browsers would not say where a form comes from
		r.Body = http.MaxBytesReader(w, r.Body, bodyLimit(r))
		next.ServeHTTP(w, r)
	})
}

func bodyLimit(r *http.Request) int64 {
	if r.URL.Path == importPath {
		return MaxImport
	}
	return maxBody
}
