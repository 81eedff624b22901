package check

import (
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// alerts are the rules, in their order; each one is an alert.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.Parse([]byte(read(t, "deploy/prometheus/alerts.yml")), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var all []rulefmt.Rule
	for _, group := range groups.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("no alerts")
	}
	return all
}

func TestEachAlertSaysHowUrgentItIsAndWhatToDo(t *testing.T) {
	for _, alert := range alerts(t) {
		if severity := alert.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s: severity %q", alert.Alert, severity)
		}
		for _, key := range []string{"summary", "description"} {
			if alert.Annotations[key] == "" {
				t.Errorf("%s: no %s", alert.Alert, key)
			}
		}
		if want := "docs/operations.md#" + strings.ToLower(alert.Alert); alert.Annotations["runbook"] != want {
			t.Errorf("%s: runbook %q, want %s", alert.Alert, alert.Annotations["runbook"], want)
		}
	}
}

// Both ways: a runbook of an alert that is gone has no reader.
func TestEachAlertHasItsRunbookAndAStoryInWhichItFires(t *testing.T) {
	_, runbooks, _ := strings.Cut(read(t, "docs/operations.md"), "\n## When an alert fires\n")
	runbooks, _, _ = strings.Cut(runbooks, "\n## ")
	sections := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^### (.+)$`).FindAllStringSubmatch(runbooks, -1) {
		sections[heading[1]] = true
	}
	stories := read(t, "deploy/prometheus/alerts_test.yml")
	for _, alert := range alerts(t) {
		if !sections[alert.Alert] {
			t.Errorf("docs/operations.md has no section ### %s", alert.Alert)
		}
		delete(sections, alert.Alert)
		if !regexp.MustCompile(`labels: '\{alertname="` + alert.Alert + `"[^\n]*value: 1 `).MatchString(stories) {
			t.Errorf("alerts_test.yml has no story in which %s fires", alert.Alert)
		}
	}
	for left := range sections {
		t.Errorf("docs/operations.md: there is no alert %s", left)
	}
}
