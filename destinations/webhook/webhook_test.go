package webhook

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"aka/destinations/adapter"
	"aka/destinations/adapter/adaptertest"
	"aka/router/segment"
)

func TestCases(t *testing.T) { adaptertest.Run(t, Vendor, "testdata") }

func FuzzTranslate(f *testing.F) { adaptertest.Fuzz(f, Vendor, "testdata") }

func BenchmarkTranslate(b *testing.B) { adaptertest.Benchmark(b, Vendor, "testdata") }

// settings are a program's that decodes no YAML.
type settings func(*Config)

func (s settings) Decode(into any) error {
	c := into.(*Config)
	if err := c.URL.UnmarshalText([]byte("https://hooks.example/aka")); err != nil {
		return err
	}
	c.Signature = SignatureNone
	s(c)
	return nil
}

func build(t *testing.T, s settings) adapter.Adapter {
	t.Helper()
	a, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func requestOf(t *testing.T, a adapter.Adapter, body string) adapter.Request {
	t.Helper()
	result, err := segment.Parse([]byte(body), segment.Options{ReceivedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	call, err := result.Messages[0].Decode()
	if err != nil {
		t.Fatal(err)
	}
	outcome := a.Translate(call)
	if len(outcome.Requests) != 1 {
		t.Fatalf("got %+v", outcome)
	}
	return outcome.Requests[0]
}

func TestACallGoesOnByteForByte(t *testing.T) {
	const properties = `{ "price": 19.90,"big":123456789012345678901234567890,"x":1E+3,"text":"\u00e9\/<é>", "twice":1,"twice":2 }`
	const context = `{ "ip" : "1.2.3.4" }`
	got := requestOf(t, build(t, func(*Config) {}), `{"userId":"u\u0031","type":"track","properties":`+properties+`,"context":`+context+`,"messageId":"m1","event":"E"}`)
	want := `{"type":"track","messageId":"m1","userId":"u1","timestamp":"2026-01-02T03:04:05.000Z","properties":` + properties + `,"context":` + context + `,"event":"E"}`
	if string(got.Body) != want {
		t.Errorf("got  %s\nwant %s", got.Body, want)
	}
}

// The contexts of calls that have passed another aka, or that are none.
func TestNoCallSaysWhichAkasItHasPassed(t *testing.T) {
	a := build(t, func(*Config) {})
	for context, want := range map[string]string{
		`{"aka":{"via":["a"]},"n":1.50}`: `{"n":1.50}`, `{"aka":1}`: `{}`, `{}`: `{}`, `null`: `null`, `"aka"`: `"aka"`, `{"n": {"aka": 1}}`: `{"n": {"aka": 1}}`,
	} {
		body := string(requestOf(t, a, `{"type":"track","messageId":"m1","userId":"u1","event":"E","context":`+context+`}`).Body)
		if !strings.HasSuffix(body, `"context":`+want+`}`) {
			t.Errorf("%s: got %s", context, body)
		}
	}
}

func TestABatchHasAnIDOfItsOwnWhateverTheSignature(t *testing.T) {
	for name, set := range map[string]settings{
		"none": func(c *Config) { c.Batch = 10 },
		"standard": func(c *Config) {
			c.Batch, c.Signature, c.Secrets = 10, SignatureStandard, []adapter.Secret{adapter.NewSecret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}
		},
	} {
		a := build(t, set)
		var requests []adapter.Request
		for _, id := range []string{"m1", "m2"} {
			requests = append(requests, requestOf(t, a, `{"type":"track","messageId":"`+id+`","userId":"u1","event":"E"}`))
		}
		both, _ := adapter.Signed(requests, adapter.Body(requests), time.Now())
		one, _ := adapter.Signed(requests[:1], adapter.Body(requests[:1]), time.Now())
		if both["webhook-id"] != "b_b82a5b7a3e0f601f81efe9e950affdb4" || one["webhook-id"] != "m1" {
			t.Errorf("%s: got %s and %s", name, both["webhook-id"], one["webhook-id"])
		}
		if body := string(adapter.Body(requests[:1])); !strings.HasPrefix(body, "[{") {
			t.Errorf("%s: one call of a batch goes without an array: %s", name, body)
		}
	}
}

func TestAWebhookIDHasNoDot(t *testing.T) {
	long := strings.Repeat("x", 65)
	for id, want := range map[string]string{
		"m-1_A": "m-1_A", long[:64]: long[:64], "m.1": "m_9ef2752950bb06e242332e310fa66b63", "a\nb": "", "é": "", long: "", "a b": "",
	} {
		got := webhookID(id)
		if want == "" && (!strings.HasPrefix(got, "m_") || len(got) != 34) || want != "" && got != want {
			t.Errorf("%q: got %s", id, got)
		}
	}
}

// A browser's write key is public: what a call says must not choose where it goes.
func FuzzACallDecidesOnItsBodyAlone(f *testing.F) {
	for _, seed := range []string{
		`{"type":"track","userId":"u1","event":"E","header":{"X-Evil":"1"},"fullPath":"http://169.254.169.254/"}`,
		`{"type":"track","userId":"u1","event":"E","integrations":{"Webhook":{"appendPath":"/x","method":"GET","url":"http://127.0.0.1"}}}`,
		`{"type":"alias","previousId":"a","userId":"b","messageId":"webhook-id: x\r\nHost: evil"}`,
	} {
		f.Add([]byte(seed))
	}
	key := adapter.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	built, err := New(settings(func(c *Config) {
		c.Signature, c.Secrets, c.Headers = SignatureStandard, []adapter.Secret{key}, map[string]adapter.Secret{"X-Api-Key": adapter.NewSecret("k3y")}
	}))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		result, err := segment.Parse(body, segment.Options{ReceivedAt: time.Unix(1767323050, 0)})
		if err != nil {
			return
		}
		for _, message := range result.Messages {
			call, err := message.Decode()
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range adapter.Translate(adapter.NewGuard(nil), built, call).Requests {
				header, _ := adapter.Signed([]adapter.Request{r}, r.Body, time.Unix(1767323050, 0))
				id, signature := header["webhook-id"], header["webhook-signature"]
				delete(header, "webhook-id")
				delete(header, "webhook-signature")
				const want = "map[Content-Type:application/json X-Api-Key:k3y webhook-timestamp:1767323050]"
				if r.Method != "POST" || r.URL != "https://hooks.example/aka" || fmt.Sprint(header) != want {
					t.Errorf("%s %s %v", r.Method, r.URL, header)
				}
				if !plainID.MatchString(id) || len(signature) != len("v1,")+44 || bytes.Contains(r.Body, []byte(key.Reveal())) {
					t.Errorf("webhook-id %q, webhook-signature %q", id, signature)
				}
			}
		}
	})
}
