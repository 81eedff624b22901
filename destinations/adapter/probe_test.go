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

// A vendor may answer 400 to everything, and say in the body what is wrong.
func TestAProbeMayReadTheAnswers(t *testing.T) {
	const badKey, region = `{"error":"invalid api key"}`, "The account is in eu"
	read := func(own, _ Answer) (Finding, string) {
		switch string(own.Body) {
		case badKey:
			return NotAccepted, ""
		case "eu":
			return "", region
		case "whim":
			return "whim", ""
		case "panic":
			panic("jane@example.com")
		}
		return "", ""
	}
	answer := func(status int, body string) Answer { return Answer{Status: status, Body: []byte(body)} }
	for _, c := range []struct {
		own, control Answer
		want         Finding
		unknown      string
	}{
		{answer(400, badKey), answer(400, badKey), NotAccepted, "Not said"},
		{answer(200, "eu"), answer(401, ""), Accepted, region},
		{answer(200, "whim"), answer(401, ""), Accepted, "Not said"},
		{answer(200, "panic"), answer(401, ""), Accepted, "Not said"},
		{answer(400, badKey), Answer{}, Reachable, "Not said"},
		{answer(400, badKey), answer(200, "<html>"), Reachable, "Not said"},
		{Answer{}, Answer{}, Unreachable, "Not said"},
	} {
		probe := Probe{Control: &Request{}, Unknown: "Not said", Read: read}
		if got, unknown := probe.ReadAnswers(c.own, c.control); got != c.want || unknown != c.unknown {
			t.Errorf("%d %s: %s, %q, want %s, %q", c.own.Status, c.own.Body, got, unknown, c.want, c.unknown)
		}
	}
	alone := Probe{Unknown: "Not said", Read: read}
	if got, _ := alone.ReadAnswers(answer(400, badKey), Answer{}); got != NotAccepted {
		t.Errorf("without a control: %s", got)
	}
}
