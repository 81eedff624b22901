package adapter

import "testing"

func TestAProbeIsJudgedByWhatTheVendorSaysToCredentialsThatAreMadeUp(t *testing.T) {
	withControl, without := Probe{Control: &Request{}}, Probe{}
	for _, c := range []struct {
		probe        Probe
		own, control int
		want         Finding
	}{
		{withControl, 200, 401, Accepted},
		{withControl, 400, 401, Accepted},
		{withControl, 404, 403, Accepted},
		{withControl, 401, 401, NotAccepted},
		{withControl, 403, 401, NotAccepted},
		{withControl, 401, 0, NotAccepted},
		{withControl, 200, 200, Reachable},
		{withControl, 400, 400, Reachable},
		{withControl, 200, 0, Reachable},
		{withControl, 200, 503, Reachable},
		{withControl, 503, 401, Unreachable},
		{withControl, 429, 401, Unreachable},
		{withControl, 301, 401, Unreachable},
		{withControl, 0, 0, Unreachable},
		{without, 200, 0, Reachable},
		{without, 404, 0, Reachable},
		{without, 401, 0, Reachable},
		{without, 500, 0, Unreachable},
		{without, 0, 0, Unreachable},
	} {
		if got := c.probe.Judge(c.own, c.control); got != c.want {
			t.Errorf("%d beside %d (%v): got %s, want %s", c.own, c.control, c.probe.Control != nil, got, c.want)
		}
	}
}
