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
	parameters := url.Values{}
	newFlattener().object(parameters, "prefix - ", map[string]any{"deep": deep, long: long})
	for name, values := range parameters {
		if utf8.RuneCountInString(name) > maxName || utf8.RuneCountInString(values[0]) > maxValue {
			t.Errorf("name of %d, value of %d bytes", len(name), len(values[0]))
		}
	}
	if len(parameters) < 2 {
		t.Errorf("%d properties were written", len(parameters))
	}
}

func translate(event string, properties map[string]any) adapter.Outcome {
	t := &translator{base: endpoint}
	return t.Translate(&segment.Call{
		Header:     segment.Header{Type: segment.Track, UserID: "bob", Timestamp: time.Unix(1<<30+1<<29, 0)},
		Event:      event,
		Properties: properties,
	})
}
