package delivery

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/deststate"
	"aka/router/httpclient"
)

func TestAnAnswerThatIsNotTheVendorsDeliversNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(string, int) httpclient.Response {
			return httpclient.Response{Status: 200, ContentType: "text/html", Body: []byte("<html>Sign in</html>")}
		}
		w.accept(alias("b", "a", 1))
		for i := range 20 {
			w.accept(track(fmt.Sprint("u", i), 1))
		}
		w.run()
		time.Sleep(time.Hour)
		w.expectOutcomes(map[string]int{})
		if w.metric("aka_destination_state", string(deststate.Down))+w.metric("aka_destination_state", string(deststate.Probing)) != 1 {
			t.Error("it does not count as down")
		}
		foreign, sent := w.metric("aka_exchanges_total", "not_the_vendor"), float64(len(w.sent()))
		if foreign != sent || w.metric("aka_exchanges_total", "2xx") != 0 || w.metric("aka_possibly_delivered_total", "vendor") != sent {
			t.Errorf("of %v exchanges %v are counted as not the vendor's", sent, foreign)
		}
		status, err := w.pipeline.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(status.Failures) != 1 || status.Failures[0].Kind != "not_the_vendor" || status.Failures[0].Status != 200 ||
			!strings.Contains(status.Failures[0].Why, "not the vendor's") || !strings.HasSuffix(status.Failures[0].Detail, "<html>Sign in</html>") {
			t.Errorf("its last failures are %+v", status.Failures)
		}
		logged := w.logs.FilterMessageSnippet("exchange failed").All()
		if len(logged) != 1 || logged[0].ContextMap()["error"] != "not_the_vendor" || logged[0].ContextMap()["hint"] != adapter.NotTheVendor.Explain() {
			t.Errorf("logged %+v", logged)
		}
		w.set(func() { w.answer = nil })
		time.Sleep(time.Hour)
		w.expectOutcomes(map[string]int{"delivered": 21})
		w.stop()
	})
}

// A page that only one call gets is held against that call alone.
func TestACallThatGetsAPageEachTimeBecomesADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(id string, _ int) httpclient.Response {
			if strings.HasPrefix(id, "blocked") {
				return httpclient.Response{Status: 200, Body: []byte("<html>Blocked</html>")}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(track("blocked", 1))
		w.run()
		for i := range 48 {
			w.accept(track(fmt.Sprint("u", i), 1))
			time.Sleep(time.Hour)
		}
		w.expectOutcomes(map[string]int{"dead/expired": 1, "delivered": 48})
		if deadLetters := w.log.deadLetters(); len(deadLetters) != 1 || !strings.HasPrefix(deadLetters[0].Detail, "not the vendor's answer (200") {
			t.Errorf("dead letters %+v", deadLetters)
		}
		w.stop()
	})
}

func TestABatchThatGetsAPageGoesAgainAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.vendor.batch = &adapter.Batch{Key: "all"}
		var once sync.Once
		w.answer = func(string, int) (r httpclient.Response) {
			r.Status = 200
			once.Do(func() { r.ContentType = "text/html" })
			return r
		}
		w.accept(track("a", 1), track("b", 1), track("c", 1))
		w.run()
		time.Sleep(time.Hour)
		w.expectOutcomes(map[string]int{"delivered": 3})
		if afterPossibleDelivery := w.vendor.afterPossibleDelivery(); afterPossibleDelivery[0] || slices.Contains(afterPossibleDelivery[1:], false) {
			t.Errorf("after a possible delivery: %v", afterPossibleDelivery)
		}
		w.stop()
	})
}

func TestAnAdapterThatCannotCountTakesNoPageForASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.vendor.judge = func(int, adapter.Answer) []adapter.Verdict { return nil }
		w.answer = func(string, int) httpclient.Response {
			return httpclient.Response{Status: 200, ContentType: "text/html"}
		}
		w.accept(track("a", 1))
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{})
		w.set(func() { w.answer = nil })
		time.Sleep(time.Hour)
		w.expectOutcomes(map[string]int{"delivered": 1})
		w.stop()
	})
}
