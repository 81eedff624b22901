package delivery

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/httpclient"
)

// Each try is signed with its own time, and what the vendor says of a signature is not shown.
func TestSign_EachTryAnewAndShownNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.vendor.sign = &adapter.Sign{Scheme: adapter.StandardWebhooks, ID: "m1", Keys: []adapter.Secret{adapter.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}}
		w.vendor.judge = func(n int, a adapter.Answer) []adapter.Verdict {
			v := adapter.StatusVerdict(a.Status)
			v.Detail = string(a.Body)
			return adapter.Verdicts(n, v)
		}
		var headers []map[string]string
		w.whole = func(x httpclient.Exchange) httpclient.Response {
			headers = append(headers, x.Header)
			time.Sleep(time.Second)
			status := 500
			if len(headers) == 3 {
				status = 400
			}
			return httpclient.Response{Status: status, Body: []byte("bad signature " + x.Header["webhook-signature"])}
		}
		w.accept(track("a", 1))
		w.run()
		time.Sleep(time.Hour)
		w.expectOutcomes(map[string]int{"dead/refused": 1})
		if len(headers) != 3 {
			t.Fatalf("%d tries", len(headers))
		}
		for i, h := range headers {
			at, _ := strconv.ParseInt(h["webhook-timestamp"], 10, 64)
			if sent := w.sent()[i].start.Unix(); at != sent || h["webhook-id"] != "m1" || !strings.HasPrefix(h["webhook-signature"], "v1,") {
				t.Errorf("try %d at %d: %v", i, sent, h)
			}
		}
		if headers[0]["webhook-timestamp"] == headers[2]["webhook-timestamp"] || headers[0]["webhook-signature"] == headers[2]["webhook-signature"] {
			t.Error("a retry has the signature of the first try")
		}
		if d := w.log.dead[0]; d.Detail != "bad signature v1,<secret>" {
			t.Errorf("dead letter: %q", d.Detail)
		}
		for _, f := range w.pipeline.health.failures {
			if !strings.HasSuffix(f.Detail, "<secret>") {
				t.Errorf("failure: %q", f.Detail)
			}
		}
		w.stop()
	})
}
