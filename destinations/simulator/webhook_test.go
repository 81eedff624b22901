package simulator

import (
	"cmp"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// The specification's own example of a signature.
const (
	webhookKey       = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	webhookBody      = `{"test": 2432232314}`
	webhookSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func (c *client) sendWebhook(body string, header map[string]string) reply {
	c.t.Helper()
	request := c.newRequest("POST", "", body)
	request.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	return c.do(request)
}

func TestAReceiverVerifiesAsTheSpecificationDoes(t *testing.T) {
	good := map[string]string{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330", "webhook-signature": webhookSignature}
	for name, test := range map[string]struct {
		secrets []string
		change  map[string]string
		late    time.Duration
		body    string
		want    int
	}{
		"the signature":            {[]string{webhookKey}, nil, 0, webhookBody, 204},
		"without its prefix":       {[]string{webhookKey[6:]}, nil, 0, webhookBody, 204},
		"the old key of two":       {[]string{"whsec_C2FtcGxlLXNlY3JldC1mb3ItdGVzdHMtb25seSE=", webhookKey}, nil, 0, webhookBody, 204},
		"the second signature":     {[]string{webhookKey}, map[string]string{"webhook-signature": "v1,x v2,y " + webhookSignature}, 0, webhookBody, 204},
		"5 minutes late":           {[]string{webhookKey}, nil, 5 * time.Minute, webhookBody, 204},
		"later":                    {[]string{webhookKey}, nil, 5*time.Minute + time.Second, webhookBody, 401},
		"from the future":          {[]string{webhookKey}, nil, -5*time.Minute - time.Second, webhookBody, 401},
		"another secret":           {[]string{"whsec_C2FtcGxlLXNlY3JldC1mb3ItdGVzdHMtb25seSE="}, nil, 0, webhookBody, 401},
		"another id":               {[]string{webhookKey}, map[string]string{"webhook-id": "m1"}, 0, webhookBody, 401},
		"an id with a dot":         {[]string{webhookKey}, map[string]string{"webhook-id": "m.1"}, 0, webhookBody, 401},
		"another time":             {[]string{webhookKey}, map[string]string{"webhook-timestamp": "1614265331"}, 0, webhookBody, 401},
		"no time":                  {[]string{webhookKey}, map[string]string{"webhook-timestamp": ""}, 0, webhookBody, 401},
		"no signature":             {[]string{webhookKey}, map[string]string{"webhook-signature": ""}, 0, webhookBody, 401},
		"another version":          {[]string{webhookKey}, map[string]string{"webhook-signature": "v2" + webhookSignature[2:]}, 0, webhookBody, 401},
		"a body that was reshaped": {[]string{webhookKey}, nil, 0, `{"test":2432232314}`, 401},
		"no secret, no check":      {nil, map[string]string{"webhook-signature": "", "webhook-timestamp": ""}, 0, webhookBody, 204},
	} {
		c := openAccount(t, "webhook", Options{Webhook: Webhook{Secrets: test.secrets}})
		c.clock.Advance(time.Unix(1614265330, 0).Add(test.late).Sub(c.clock.Now()))
		header := map[string]string{}
		for _, from := range []map[string]string{good, test.change} {
			for key, value := range from {
				header[key] = value
			}
		}
		if got := c.sendWebhook(test.body, header); got.status != test.want {
			t.Errorf("%s: answered %d %s, want %d", name, got.status, got.body, test.want)
		}
		if shown := c.Exchanges()[0].Header.Get("Webhook-Signature"); shown != "" && shown != secret {
			t.Errorf("%s: the exchange shows the signature %s", name, shown)
		}
	}
}

func TestAReceiverVerifiesSegmentsForm(t *testing.T) {
	c := openAccount(t, "webhook", Options{Webhook: Webhook{Secrets: []string{"sh4red"}, Signature: "sha1"}})
	for signature, want := range map[string]int{"769cad4e76926b772c10c962faadc18216a032b6": 204, "": 401, "x": 401} {
		if got := c.sendWebhook(`[{"a":1},{"a":2}]`, map[string]string{"X-Signature": signature}); got.status != want {
			t.Errorf("%q: answered %d", signature, got.status)
		}
	}
}

func TestAReceiverTakesAMessageIDOnceAndKeepsTheOrder(t *testing.T) {
	c := openAccount(t, "webhook", Options{})
	for _, body := range []string{
		`{"type":"alias","messageId":"m1","previousId":"a","userId":"b"}`,
		`[{"type":"track","messageId":"m2","userId":"b","event":"E"},{"type":"alias","messageId":"m1","previousId":"a","userId":"b"}]`,
		`{"type":"track","timestamp":"2026-01-02T03:04:05Z","data":{"type":"track","messageId":"m3","userId":"b","event":"F"}}`,
	} {
		if got := c.sendWebhook(body, nil); got.status != 204 {
			t.Errorf("answered %d %s", got.status, got.body)
		}
	}
	var order []string
	for _, r := range c.Records() {
		order = append(order, r.Kind+" "+r.Key)
	}
	if got := fmt.Sprint(order); got != "[alias m1 event m2 event m3]" || c.Stats().Duplicates != 1 {
		t.Errorf("took %s, %d duplicates", got, c.Stats().Duplicates)
	}
	c.clock.Advance(7*24*time.Hour + time.Second)
	c.sendWebhook(`{"type":"track","messageId":"m2","userId":"b","event":"E"}`, nil)
	if len(c.Records()) != 4 {
		t.Error("a messageId is remembered for longer than a week")
	}
}

// Its modes are the faults: 410, a redirect, 429 and Retry-After, a slow answer, a connection cut after the body.
func TestAReceiverRefuses(t *testing.T) {
	c := openAccount(t, "webhook", Options{})
	for _, fault := range []Fault{
		{Status: http.StatusGone, Times: 1}, {Status: http.StatusTemporaryRedirect, Header: map[string]string{"Location": "http://127.0.0.1:1/"}, Times: 1},
		{Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "7"}, Times: 1}, {FailRecords: []int{0}, Times: 1},
	} {
		if err := c.AddFaults(fault); err != nil {
			t.Fatal(err)
		}
		want := cmp.Or(fault.Status, http.StatusUnprocessableEntity)
		if got := c.sendWebhook(`{"type":"track","messageId":"m1","userId":"b","event":"E"}`, nil); got.status != want {
			t.Errorf("answered %d, want %d", got.status, want)
		}
	}
	for body, want := range map[string]int{"": 400, "[1]": 400, "{": 400} {
		if got := c.sendWebhook(body, nil); got.status != want {
			t.Errorf("%q: answered %d", body, got.status)
		}
	}
	if got := c.send("GET", "", nil); got.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: answered %d", got.status)
	}
	if len(c.Records()) != 0 {
		t.Errorf("took %v", c.Records())
	}
}

func TestAReceiversOptionsAreChecked(t *testing.T) {
	for _, set := range []Webhook{{Signature: "md5"}, {Secrets: []string{"whsec_!"}}} {
		if _, err := newAccount("it", "webhook", "http://x/it", Options{Webhook: set}); err == nil {
			t.Errorf("%+v is taken", set)
		}
	}
}
