package segment

import (
	"hash/maphash"
	"sync/atomic"
)

const (
	// keptRoutes is how many different integrations a Routes remembers at most, and keptRouting how long they may be.
	keptRoutes  = 16
	keptRouting = 256
)

var routesSeed = maphash.MakeSeed()

// Routes is Route for one destination, whose names and leniency never change. It remembers what it decided: most calls of a
// source say the same. The zero Routes is ready, and safe for concurrent use; nil remembers nothing.
type Routes struct {
	kept [keptRoutes]atomic.Pointer[route]
}

type route struct {
	routing string
	enabled bool
}

// Route is the function Route.
func (r *Routes) Route(routing []byte, names []string, lenient bool) Decision {
	if r == nil || len(routing) == 0 || len(routing) > keptRouting {
		return Route(routing, names, lenient)
	}
	kept := &r.kept[maphash.Bytes(routesSeed, routing)%keptRoutes]
	if last := kept.Load(); last != nil && last.routing == string(routing) {
		return Decision{Enabled: last.enabled}
	}
	decision := Route(routing, names, lenient)
	// What is more than a switch is the caller's own.
	if decision.Options == nil && decision.Diagnostics == nil {
		kept.Store(&route{string(routing), decision.Enabled})
	}
	return decision
}
