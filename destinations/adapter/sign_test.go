package adapter

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const vectorKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// The specification's own test vector, and a second key.
func TestSignedIsTheStandardsVector(t *testing.T) {
	request := Request{
		Header: map[string]string{"Content-Type": "application/json"}, Body: []byte(`{"test": 2432232314}`),
		Sign: &Sign{Scheme: StandardWebhooks, ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Keys: []Secret{NewSecret(vectorKey), NewSecret(strings.TrimPrefix(vectorKey, "whsec_"))}},
	}
	const one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	got, signatures := Signed([]Request{request}, request.Body, time.Unix(1614265330, 0))
	want := map[string]string{
		"Content-Type": "application/json", "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330", "webhook-signature": one + " " + one,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || len(signatures) != 2 || signatures[0].Reveal() != one[len("v1,"):] {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if len(request.Header) != 1 {
		t.Error("the request was modified")
	}
	if later, _ := Signed([]Request{request}, request.Body, time.Unix(1614265331, 0)); later["webhook-signature"] == got["webhook-signature"] {
		t.Error("a later try has the same signature")
	}
}

func TestTheIDOfABatchIsMadeOfItsRequests(t *testing.T) {
	of := func(ids ...string) (requests []Request) {
		for _, id := range ids {
			requests = append(requests, Request{Sign: &Sign{ID: id, Keys: []Secret{NewSecret(vectorKey)}}})
		}
		return requests
	}
	for _, c := range []struct {
		requests []Request
		want     string
	}{
		{of("m1"), "m1"}, {of("m1", "m2"), "b_b82a5b7a3e0f601f81efe9e950affdb4"},
	} {
		if got, _ := Signed(c.requests, nil, time.Now()); got["webhook-id"] != c.want {
			t.Errorf("got %s, want %s", got["webhook-id"], c.want)
		}
	}
}

func TestWhatIsNotSignedKeepsItsHeader(t *testing.T) {
	header := map[string]string{"A": "b"}
	if got, signatures := Signed([]Request{{Header: header}}, nil, time.Now()); fmt.Sprint(got) != fmt.Sprint(header) || signatures != nil {
		t.Errorf("got %v", got)
	}
}

func TestASignKeyIsBase64OfEnoughBytes(t *testing.T) {
	for key, want := range map[string]bool{
		vectorKey: true, strings.TrimPrefix(vectorKey, "whsec_"): true, "": false, "whsec_": false, "whsec_c2hvcnQ=": false, "whsec_!": false,
		"whsec_" + strings.Repeat("QUFB", 22): false,
	} {
		if _, ok := SignKey(NewSecret(key)); ok != want {
			t.Errorf("%q: %v", key, ok)
		}
	}
}

// Neither a key nor a signature is in what is shown or printed of a request.
func TestASignedRequestShowsNoKey(t *testing.T) {
	r := Request{Method: "POST", URL: "https://hooks.test/", Sign: &Sign{Scheme: StandardWebhooks, ID: "m1", Keys: []Secret{NewSecret(vectorKey)}}}
	shown := Show(r)
	if shown.Sign != "standard_webhooks m1" {
		t.Errorf("shown as %q", shown.Sign)
	}
	for _, text := range []string{fmt.Sprintf("%+v %+v", shown, r), fmt.Sprintf("%#v %+v", *r.Sign, *r.Sign)} {
		if strings.Contains(text, vectorKey[6:]) {
			t.Errorf("the key stands in %s", text)
		}
	}
}

// Segment's form: hex of HMAC-SHA1 over the whole body, with the secret as it is written.
func TestABodyIsSignedWhole(t *testing.T) {
	sign := &Sign{Scheme: BodySHA1, ID: "m1", Keys: []Secret{NewSecret("sh4red")}}
	requests := []Request{{Sign: sign, Batch: &Batch{}, Body: []byte(`{"a":1}`)}, {Sign: sign, Batch: &Batch{}, Body: []byte(`{"a":2}`)}}
	header, signatures := Signed(requests, Body(requests), time.Now())
	const want = "769cad4e76926b772c10c962faadc18216a032b6" // of [{"a":1},{"a":2}]
	if len(header) != 1 || header["X-Signature"] != want || len(signatures) != 1 || signatures[0].Reveal() != want {
		t.Errorf("got %v", header)
	}
}

func TestWhatIsUnsignedHasItsIDAlone(t *testing.T) {
	sign := func(id string) *Sign { return &Sign{Scheme: Unsigned, ID: id} }
	if header, signatures := Signed([]Request{{Sign: sign("m1")}}, nil, time.Now()); fmt.Sprint(header) != "map[webhook-id:m1]" || signatures != nil {
		t.Errorf("got %v", header)
	}
	if header, _ := Signed([]Request{{Sign: sign("m1")}, {Sign: sign("m2")}}, nil, time.Now()); header["webhook-id"] != "b_b82a5b7a3e0f601f81efe9e950affdb4" {
		t.Errorf("got %v", header)
	}
}

func TestWhatStandsInForAKeyIsOne(t *testing.T) {
	var key Secret
	key.SetStandIn("unset")
	if bytes, ok := SignKey(key); !ok || string(bytes) != "unset" {
		t.Errorf("got %q", bytes)
	}
	if key.SetSecret("unset"); key.standsIn {
		t.Error("a secret that was set stands in")
	}
}
