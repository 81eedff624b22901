package adapter

import (
	"encoding/json"
	"testing"
)

func TestOrdersHaveMoreThanOneName(t *testing.T) {
	for event, want := range map[string]bool{
		"Order Completed": true, " order completed\n": true, "Completed Order": true, "completed_order": true, "ORDER_COMPLETED": true,
		"Order Refunded": false, "Order Completed 2": false, "": false, "OrderCompleted": false,
	} {
		if got := IsOrder(event); got != want {
			t.Errorf("%q: %v", event, got)
		}
	}
}

func TestAmountReadsSumsOfMoney(t *testing.T) {
	for _, c := range []struct {
		value any
		want  json.Number
	}{
		{json.Number("19.99"), "19.99"}, {json.Number("0"), "0"}, {json.Number("-5"), "-5"}, {json.Number("7.5e1"), "75"}, {json.Number("1E-2"), "0.01"},
		{"$19.99", "19.99"}, {" $ 20 ", "20"}, {"007.50", "7.50"}, {"0.5", "0.5"}, {"000", "0"}, {"-007", "-7"},
		{"", ""}, {nil, ""}, {"free", ""}, {true, ""}, {"1,299.00", ""}, {"1e3", ""}, {"$", ""}, {"1.", ""}, {".5", ""}, {json.Number("1e400"), ""}, {[]any{"1"}, ""},
	} {
		got, ok := Amount(c.value)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%v: got %q %v, want %q", c.value, got, ok, c.want)
		}
		if ok && !json.Valid([]byte(got)) {
			t.Errorf("%v: %q is not JSON", c.value, got)
		}
	}
}

func TestRevenueIsTheTotalOfAnOrderOnly(t *testing.T) {
	for _, c := range []struct {
		event      string
		properties map[string]any
		want       json.Number
	}{
		{"Order Completed", map[string]any{"revenue": json.Number("5"), "total": json.Number("7")}, "5"},
		{" completed order ", map[string]any{"revenue": nil, "total": json.Number("7")}, "7"},
		{"Paid", map[string]any{"total": json.Number("7")}, ""},
		{"Paid", map[string]any{"revenue": "$7"}, "7"},
	} {
		if got, ok := Revenue(c.event, c.properties); got != c.want || ok != (c.want != "") {
			t.Errorf("%s %v: got %q %v", c.event, c.properties, got, ok)
		}
	}
}
