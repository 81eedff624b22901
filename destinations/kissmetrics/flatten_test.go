package kissmetrics

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"aka/destinations/adapter"
	"aka/router/segment"
)

func TestOrderOfTooManyProductsIsRejected(t *testing.T) {
	products := make([]any, maxProducts+1)
	for i := range products {
		products[i] = map[string]any{"sku": "a"}
	}
	properties := map[string]any{"products": products}
	if got := translate("Order Completed", properties); got.Rejected == nil {
		t.Errorf("%d products gave %d requests", len(products), len(got.Requests))
	}
	properties["products"] = products[1:]
	if got := translate("Order Completed", properties); len(got.Requests) != 1+maxProducts {
		t.Errorf("%d products gave %d requests (%v)", maxProducts, len(got.Requests), got.Rejected)
	}
}

// The user agent goes with every product, and each of its characters becomes twelve in a query.
func TestOrderOfManyProductsIsBoundedInBytes(t *testing.T) {
	products := make([]any, maxProducts)
	for i := range products {
		products[i] = map[string]any{"name": strings.Repeat("🦊", 60), "sku": strings.Repeat("🦊", 60), "brand": strings.Repeat("🦊", 60)}
	}
	call := &segment.Call{
		Header:     segment.Header{Type: segment.Track, UserID: "bob", Timestamp: time.Unix(1<<30+1<<29, 0)},
		Event:      "Order Completed",
		Properties: map[string]any{"products": products},
	}
	call.SetContext(map[string]any{"userAgent": strings.Repeat("🦊", maxValue)})
	if got := adapter.Translate(adapter.NewGuard(nil), &translator{base: endpoint}, call); got.Rejected != adapter.ErrTooLarge {
		t.Errorf("%d requests, %v", len(got.Requests), got.Rejected)
	}
}

// A long name that repeats in every name below it makes 200 KB of call into 10 MB of parameters.
func TestPropertiesThatGrowTooMuchAreRejected(t *testing.T) {
	below := map[string]any{}
	for i := range 10_000 {
		below[fmt.Sprint(i)] = json.Number("1")
	}
	got := translate("E", map[string]any{strings.Repeat("🦊", 240): below})
	if got.Rejected == nil {
		t.Error("properties of 10 MB were sent")
	}
}

func TestNamesAndValuesAreBounded(t *testing.T) {
	long := strings.Repeat("é", 100_000)
	var deep any = map[string]any{long: long, "list": []any{long, long, map[string]any{long: long}}}
	for range 60 {
		deep = map[string]any{"level": deep}
	}
	written := parameters{}
	newFlattener().object(written, "prefix - ", map[string]any{"deep": deep, long: long})
	for name, value := range written {
		if utf8.RuneCountInString(name) > maxName || utf8.RuneCountInString(value) > maxValue {
			t.Errorf("name of %d, value of %d bytes", len(name), len(value))
		}
	}
	if len(written) < 2 {
		t.Errorf("%d properties were written", len(written))
	}
}

func TestParametersAreWrittenAsAQuery(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	p, want := parameters{}, url.Values{}
	for i, text := range []string{"", "a", " b", string(every), "日本"} {
		if got := string(p.appendTo(nil)); got != want.Encode() {
			t.Errorf("with %d: %q, want %q", i, got, want.Encode())
		}
		p[text] = text + "&="
		want.Set(text, text+"&=")
	}
}

// Whatever a sender calls things, the parameters that Kissmetrics itself reads are ours.
func FuzzReservedParameters(f *testing.F) {
	f.Add("E", "_p", "x", true)
	f.Add("_k", "__n", "&_d=0", false)
	f.Add("Order Completed", " _t", "\r\n", true)
	f.Fuzz(func(t *testing.T, event, key, value string, prefixed bool) {
		vendor := &translator{Config: Config{APIKey: adapter.NewSecret("k3y-of-km"), PrefixProperties: prefixed}, base: endpoint}
		properties := map[string]any{key: value, "nested": map[string]any{key: value}, "products": []any{map[string]any{key: value}}}
		call := &segment.Call{
			Header: segment.Header{Type: segment.Track, UserID: "bob", Timestamp: time.Unix(1262304000, 0)},
			Event:  event, Properties: properties,
		}
		for i, request := range vendor.Translate(call).Requests {
			parameters := parametersOf(t, request)
			want := map[string]string{"_k": "k3y-of-km", "_p": "bob", "_t": "1262304000", "_d": "1"}
			if i == 0 {
				want["_n"] = adapter.Cut(strings.TrimSpace(event), maxName)
			}
			for name, values := range parameters {
				if len(values) != 1 || strings.HasPrefix(name, "_") && values[0] != want[name] {
					t.Errorf("%q is %q", name, values)
				}
				delete(want, name)
			}
			if len(want) > 0 {
				t.Errorf("missing: %v", want)
			}
		}
	})
}

func parametersOf(t *testing.T, r adapter.Request) url.Values {
	t.Helper()
	_, query, _ := strings.Cut(r.URL, "?")
	if r.Body != nil {
		query = string(r.Body)
	}
	parameters, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return parameters
}

func translate(event string, properties map[string]any) adapter.Outcome {
	t := &translator{base: endpoint}
	return t.Translate(&segment.Call{
		Header:     segment.Header{Type: segment.Track, UserID: "bob", Timestamp: time.Unix(1<<30+1<<29, 0)},
		Event:      event,
		Properties: properties,
	})
}
