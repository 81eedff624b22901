package cli

import (
	"bytes"
	"strings"
	"testing"

	"aka/router/admin"
	"aka/router/logging"
)

func TestTheLogsLevelIsShownAndChanged(t *testing.T) {
	log := logging.New(logging.Options{Level: "warn"}, &bytes.Buffer{})
	a := newRunningWith(t, admin.Tokens{}, func(c *admin.Config) { c.Log = logging.Of(log) })
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitDone, "warn\n"},
		{[]string{"info"}, exitDone, "info; the config says warn\n"},
		{[]string{"debug", "--for", "10m"}, exitDone, "debug until "},
		{nil, exitDone, "debug until "},
		{[]string{"warn", "--for", "10m"}, exitDone, "warn\n"},
		{[]string{"loud"}, exitFailed, `aka: level: "loud" is not known; there are debug, error, info, warn`},
		{[]string{"debug", "--for", "0s"}, exitFailed, "aka: for: expected a duration such as 10m, at most 30d"},
		{[]string{"debug", "--for", "31d"}, exitFailed, "aka: for: expected"},
		{[]string{"--for", "1m"}, exitWrongUse, "aka: --for needs a level"},
		{[]string{"debug", "info"}, exitWrongUse, "aka: expected one level"},
		{nil, exitDone, "warn\n"},
	} {
		got := runAka(t, append([]string{"log", "level", "--admin", a.url}, c.args...)...)
		if got.code != c.code || !strings.HasPrefix(got.out+got.errOut, c.want) {
			t.Errorf("%v: %+v, want %d %s", c.args, got, c.code, c.want)
		}
	}
	fixed := newRunning(t)
	if got := runAka(t, "log", "level", "--admin", fixed.url); got.code != exitFailed || !strings.Contains(got.errOut, "cannot be changed") {
		t.Errorf("%+v", got)
	}
}
