package simulator

import (
	"net/http"
	"net/url"
	"testing"
)

// query reads profiles with credentials.
func (c *client) query(user, password, project string, form url.Values) reply {
	c.t.Helper()
	r := c.newRequest("POST", "/api/query/engage?project_id="+project, form.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(user, password)
	return c.do(r)
}

// https://docs.mixpanel.com/reference/engage-query
func TestTheQueryAPIReadsProfiles(t *testing.T) {
	for mode, want := range map[string]float64{"legacy": 1, "original": 1, "simplified": 2} {
		c := openAccount(t, "mixpanel", Options{IDMerge: mode, Token: "t", ServiceUser: "bot", ServiceSecret: "s", ProjectID: "7"})
		set := func(id, trait string) {
			c.send("POST", "/engage?verbose=1", []object{{"$token": "t", "$distinct_id": id, "$set": object{trait: "yes"}}})
		}
		set("jen", "before")
		set("bob", "other")
		c.form("/track", `{"event":"$create_alias","properties":{"distinct_id":"jen","alias":"u-1","token":"t"}}`)
		set("u-1", "after")
		got := c.query("bot", "s", "7", url.Values{"distinct_ids": {`["jen","u-1"]`}})
		wantStatus(t, got, http.StatusOK)
		if all := got.object(t); all["total"] != want || len(all["results"].([]any)) != int(want) || all["status"] != "ok" {
			t.Errorf("%s: %s", mode, got.body)
		}
		one := c.query("bot", "s", "7", url.Values{"distinct_id": {"u-1"}}).object(t)["results"].([]any)
		if properties := one[0].(object)["$properties"].(object); properties["after"] != "yes" || (properties["before"] == "yes") != (want == 1) || properties["other"] != nil {
			t.Errorf("%s: %v", mode, properties)
		}
		if none := c.query("bot", "s", "7", url.Values{"distinct_ids": {`["u-2"]`}}).object(t); none["total"] != 0.0 {
			t.Errorf("%s: %v", mode, none)
		}
		wantStatus(t, c.query("bot", "s", "7", url.Values{"distinct_ids": {"jen"}}), http.StatusBadRequest)
	}
}

func TestTheQueryAPIDoesNotTakeTheToken(t *testing.T) {
	c := openAccount(t, "mixpanel", Options{IDMerge: "original", Token: "t", APISecret: "secret", ServiceUser: "bot", ServiceSecret: "s", ProjectID: "7"})
	form := url.Values{"distinct_id": {"jen"}}
	for _, login := range [][3]string{{"t", "", ""}, {"bot", "wrong", "7"}, {"bot", "s", "8"}, {"bot", "s", ""}, {"", "", "7"}} {
		if got := c.query(login[0], login[1], login[2], form); got.status != http.StatusUnauthorized {
			t.Errorf("%q: %d", login, got.status)
		}
	}
	wantStatus(t, c.query("bot", "s", "7", form), http.StatusOK)
	wantStatus(t, c.query("secret", "", "", form), http.StatusOK)
	wantStatus(t, c.send("GET", "/api/query/engage", nil), http.StatusNotFound)
}
