package router

import (
	"fmt"
	"testing"

	"aka/router/config"
)

// threeDestinations share the files with the connections.
const threeDestinations = `
sources: { website: { write_key: dev } }
destinations:
  a: { type: vero, settings: { auth_token: token-1 } }
  b: { type: vero, settings: { auth_token: token-2 } }
  c: { type: vero, settings: { auth_token: token-3 } }
`

func TestConnectionsLeaveFilesForTheRest(t *testing.T) {
	for _, c := range []struct{ configured, concurrency, files, want int }{
		{10_000, 16, 1 << 20, 10_000},
		{10_000, 16, 65_536, 10_000},
		{100_000, 16, 65_536, 57_871},
		{10_000, 16, 1024, 527},
		{10_000, 1024, 4096, 1764},
		{10_000, 16, 256, 60},
		{10, 16, 256, 10},
		{10_000, 16, 10, 2},
		{10_000, 16, 0, 1},
		{1, 16, 0, 1},
	} {
		loaded := load(t, threeDestinations+fmt.Sprintf("limits: { connections: %d }\ndelivery: { concurrency: %d }\n", c.configured, c.concurrency), config.LoadOptions{})
		if got := connectionsWithin(loaded, uint64(c.files)); got != c.want {
			t.Errorf("%+v: %d connections", c, got)
		}
	}
}
