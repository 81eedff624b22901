package golden

import (
	"errors"
	"testing"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// signer sends each call on, signed.
type signer struct {
	adapter.Common `yaml:",inline"`
	Key            adapter.Secret `yaml:"key"`
}

var signers = adapter.Vendor{Names: []string{"Signer"}, New: func(s adapter.Settings) (adapter.Adapter, error) {
	made := &signer{}
	err := s.Decode(made)
	if _, ok := adapter.SignKey(made.Key); !ok {
		err = errors.Join(err, errors.New("key: must be whsec_ and the base64 of 24 to 64 bytes"))
	}
	return made, err
}}

func (s *signer) Translate(call *segment.Call) adapter.Outcome {
	return adapter.Send(adapter.Request{
		Method: "POST", URL: "https://hooks.example/aka", Header: map[string]string{"Content-Type": "application/json"},
		Body: []byte(`{"messageId":"m1","previousId":"jen@email.com","timestamp":"2026-01-02T03:04:05.000Z","type":"alias","userId":"507f191e81"}`),
		Sign: &adapter.Sign{Scheme: adapter.StandardWebhooks, ID: call.MessageID, Keys: []adapter.Secret{s.Key}},
	})
}

func TestSignaturesAreGoldenCases(t *testing.T) { run(t, signers, "testdata/sign") }

func TestASignIsWhole(t *testing.T) {
	key := adapter.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	for name, c := range map[string]struct {
		sign   adapter.Sign
		header map[string]string
		ok     bool
	}{
		"whole":              {adapter.Sign{Scheme: adapter.StandardWebhooks, ID: "m-1", Keys: []adapter.Secret{key}}, nil, true},
		"no scheme":          {adapter.Sign{ID: "m-1", Keys: []adapter.Secret{key}}, nil, false},
		"a dot":              {adapter.Sign{Scheme: adapter.StandardWebhooks, ID: "m.1", Keys: []adapter.Secret{key}}, nil, false},
		"no id":              {adapter.Sign{Scheme: adapter.StandardWebhooks, Keys: []adapter.Secret{key}}, nil, false},
		"no key":             {adapter.Sign{Scheme: adapter.StandardWebhooks, ID: "m-1"}, nil, false},
		"a bad key":          {adapter.Sign{Scheme: adapter.StandardWebhooks, ID: "m-1", Keys: []adapter.Secret{adapter.NewSecret("x")}}, nil, false},
		"own header":         {adapter.Sign{Scheme: adapter.StandardWebhooks, ID: "m-1", Keys: []adapter.Secret{key}}, map[string]string{"Webhook-Id": "x"}, false},
		"a signed body":      {adapter.Sign{Scheme: adapter.BodySHA1, ID: "m-1", Keys: []adapter.Secret{adapter.NewSecret("x")}}, nil, true},
		"two keys of a body": {adapter.Sign{Scheme: adapter.BodySHA1, ID: "m-1", Keys: []adapter.Secret{key, key}}, nil, false},
		"unsigned":           {adapter.Sign{Scheme: adapter.Unsigned, ID: "m-1"}, nil, true},
		"unsigned by a key":  {adapter.Sign{Scheme: adapter.Unsigned, ID: "m-1", Keys: []adapter.Secret{key}}, nil, false},
		"another scheme":     {adapter.Sign{Scheme: "v1a", ID: "m-1", Keys: []adapter.Secret{key}}, nil, false},
	} {
		if problem := problemOfSign(adapter.Request{Sign: &c.sign, Header: c.header}); (problem == "") != c.ok {
			t.Errorf("%s: %q", name, problem)
		}
	}
}

func TestAnotherTimeIsAnotherSignature(t *testing.T) {
	a := &signer{Key: adapter.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}
	requests := a.Translate(callOf(segment.Alias, "507f191e81", "")).Requests
	requests[0].Sign.ID = "m1"
	wanted := Case{SignedAt: 1767323050, Signed: map[string]string{"webhook-signature": "v1,t6BZputhDy3wohBMbWJ0cjmrzi9oqy9U/ZKVBqCkgVE="}}
	if problem := wanted.signProblem(requests); problem != "" {
		t.Error(problem)
	}
	if wanted.SignedAt++; wanted.signProblem(requests) == "" {
		t.Error("a wrong signature passes")
	}
}
