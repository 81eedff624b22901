package check

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/teststorage"
)

func families(t *testing.T, from io.Reader) []*dto.MetricFamily {
	t.Helper()
	text := expfmt.NewTextParser(model.UTF8Validation)
	byName, err := text.TextToMetricFamilies(from)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(maps.Values(byName))
}

// scraped is a Prometheus's storage with what an aka said before, while and after it did something.
type scraped struct {
	t       *testing.T
	storage *teststorage.TestStorage
	engine  *promql.Engine
	now     time.Time
}

const scrapeInterval = 15 * time.Second

// watch has a real aka do what the dashboard shows, and scrapes it.
func watch(t *testing.T) *scraped {
	t.Helper()
	aka := startAka(t)
	s := &scraped{t: t, storage: teststorage.New(t), now: time.Now().Add(-time.Minute),
		engine: promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute})}
	s.add(aka.scrape(t))
	for _, call := range []struct {
		writeKey, path, body string
		want                 int
	}{
		{"dev", "/v1/identify", `{"messageId":"m1","userId":"jen@email.com","traits":{"plan":"free"}}`, 200},
		{"dev", "/v1/identify", `{"messageId":"m1","userId":"jen@email.com","traits":{"plan":"free"}}`, 200}, // once more
		{"dev", "/v1/alias", `{"messageId":"m2","previousId":"jen@email.com","userId":"507f191e81"}`, 200},
		{"dev", "/v1/track", `{"messageId":"m3","userId":"507f191e81","event":"Signed Up"}`, 200},
		{"dev", "/v1/track", `{"messageId":"m4","userId":"507f191e81"}`, 400},
		{"another", "/v1/track", `{"messageId":"m4","userId":"507f191e81","event":"Signed Up"}`, 401},
	} {
		if status := aka.send(t, call.writeKey, call.path, call.body); status != call.want {
			t.Fatalf("%s is answered %d, want %d", call.path, status, call.want)
		}
	}
	aka.untilEnded(t, 9)
	for range 3 {
		s.add(aka.scrape(t))
	}
	return s
}

// add keeps one scrape, with the labels that a Prometheus adds.
func (s *scraped) add(samples model.Vector) {
	s.t.Helper()
	s.now = s.now.Add(scrapeInterval)
	samples = append(samples, &model.Sample{Metric: model.Metric{"__name__": "up"}, Value: 1})
	appender := s.storage.Appender(s.t.Context())
	for _, sample := range samples {
		builder := labels.NewBuilder(labels.FromStrings("job", "aka", "instance", "aka:9090"))
		for name, value := range sample.Metric {
			builder.Set(string(name), string(value))
		}
		if _, err := appender.Append(0, builder.Labels(), s.now.UnixMilli(), float64(sample.Value)); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := appender.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scraped) eval(expression string) promql.Vector {
	s.t.Helper()
	query, err := s.engine.NewInstantQuery(s.t.Context(), s.storage, nil, expression, s.now)
	if err != nil {
		s.t.Fatalf("%s: %v", expression, err)
	}
	defer query.Close()
	result := query.Exec(s.t.Context())
	if result.Err != nil {
		s.t.Fatalf("%s: %v", expression, result.Err)
	}
	vector, err := result.Vector()
	if err != nil {
		s.t.Fatalf("%s: %v", expression, err)
	}
	return slices.Clone(vector)
}

func parse(t *testing.T, expression string) parser.Expr {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return parsed
}

// expectKnown looks for every metric of an expression with the labels that it is asked for, and for the labels by which it is
// grouped and matched.
func (s *scraped) expectKnown(where, expression string) {
	s.t.Helper()
	parser.Inspect(parse(s.t, expression), func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			bare := *n
			bare.OriginalOffset, bare.Offset = 0, 0
			if len(s.eval(bare.String())) == 0 {
				s.t.Errorf("%s: aka has no series %s", where, bare.String())
			}
		case *parser.AggregateExpr:
			s.expectLabels(where, n.Expr, n.Grouping)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				s.expectLabels(where, n.LHS, n.VectorMatching.MatchingLabels)
			}
		}
		return nil
	})
}

func (s *scraped) expectLabels(where string, expression parser.Expr, wanted []string) {
	s.t.Helper()
	for _, name := range wanted {
		for _, selector := range parser.ExtractSelectors(expression) {
			if !slices.ContainsFunc(s.eval(selectorText(selector)), func(sample promql.Sample) bool { return sample.Metric.Has(name) }) {
				s.t.Errorf("%s: %s has no label %s", where, selectorText(selector), name)
			}
		}
	}
}

func selectorText(matchers []*labels.Matcher) string {
	var texts []string
	for _, m := range matchers {
		texts = append(texts, m.String())
	}
	return "{" + strings.Join(texts, ", ") + "}"
}

// dashboard is what this test reads of Grafana's format.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []panel
	Templating    struct {
		List []struct {
			Name, Type, Definition string
		}
	}
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct{ RefID, Expr, LegendFormat string }
}

func loadDashboard(t *testing.T) *dashboard {
	t.Helper()
	d := &dashboard{}
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/aka.json")), d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || d.SchemaVersion == 0 || len(d.Panels) == 0 {
		t.Fatalf("got %+v", d)
	}
	return d
}

// chosen puts in what Grafana does for a variable: all of them, and of a rate four scrapes.
var chosen = strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*", "$destination", ".*")

var (
	legendLabel   = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
	templateLabel = regexp.MustCompile(`\$labels\.(\w+)`)
	variableQuery = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
)

func TestEveryPanelShowsSomethingOfARunningAka(t *testing.T) {
	s := watch(t)
	for _, p := range loadDashboard(t).Panels {
		if p.Type == "row" {
			continue
		}
		shown := 0
		for _, target := range p.Targets {
			where, expression := fmt.Sprintf("panel %q, query %s", p.Title, target.RefID), chosen.Replace(target.Expr)
			s.expectKnown(where, expression)
			samples := s.eval(expression)
			shown += len(samples)
			for _, label := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
				if len(samples) > 0 && !slices.ContainsFunc(samples, func(sample promql.Sample) bool { return sample.Metric.Has(label[1]) }) {
					t.Errorf("%s: its legend names %s, which it does not have", where, label[1])
				}
			}
		}
		if shown == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
	}
	for _, variable := range loadDashboard(t).Templating.List {
		if variable.Type != "query" {
			continue
		}
		query := variableQuery.FindStringSubmatch(variable.Definition)
		if query == nil {
			t.Fatalf("variable %s: %s", variable.Name, variable.Definition)
		}
		s.expectLabels("variable "+variable.Name, parse(t, chosen.Replace(query[1])), query[2:])
	}
	s.expectAlertsToSeeZero()
}

// expectAlertsToSeeZero holds that all that an alert looks at is there before anything has happened, so that increase sees the
// first one; that none fires while all is well, but for the calls that this test had refused; and that its words name labels
// that it has.
func (s *scraped) expectAlertsToSeeZero() {
	s.t.Helper()
	for _, alert := range alerts(s.t) {
		s.expectKnown(alert.Alert, alert.Expr)
		if firing := s.eval(alert.Expr); len(firing) > 0 && alert.Alert != "AkaCallsRejected" {
			s.t.Errorf("%s fires while all is well: %v", alert.Alert, firing)
		}
		watched := s.eval(watchedBy(parse(s.t, alert.Expr)).String())
		if len(watched) == 0 {
			s.t.Errorf("%s watches nothing", alert.Alert)
			continue
		}
		for _, label := range templateLabel.FindAllStringSubmatch(alert.Annotations["summary"]+alert.Annotations["description"], -1) {
			if !watched[0].Metric.Has(label[1]) {
				s.t.Errorf("%s: its words name %s, which it does not have", alert.Alert, label[1])
			}
		}
	}
}

// watchedBy is the alert's expression without its threshold and exceptions.
func watchedBy(expression parser.Expr) parser.Expr {
	if binary, ok := expression.(*parser.BinaryExpr); ok && (binary.Op.IsComparisonOperator() || binary.Op.IsSetOperator()) {
		return watchedBy(binary.LHS)
	}
	return expression
}

func TestPanelsLieBesideEachOther(t *testing.T) {
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range loadDashboard(t).Panels {
		if ids[p.ID] {
			t.Errorf("panel %q has the id of another", p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q is beyond the edge", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" {
					t.Fatalf("panel %q lies on %q", p.Title, taken[at])
				}
				taken[at] = p.Title
			}
		}
	}
}

// Each of aka's metrics stands in a panel or an alert, or is for those who look closer.
func TestTheDashboardAndTheAlertsNameAkasOwnMetrics(t *testing.T) {
	seen := map[string]bool{}
	note := func(expression string) {
		parser.Inspect(parse(t, expression), func(node parser.Node, _ []parser.Node) error {
			if selector, ok := node.(*parser.VectorSelector); ok {
				seen[strings.TrimSuffix(selector.Name, "_bucket")] = true
			}
			return nil
		})
	}
	for _, p := range loadDashboard(t).Panels {
		for _, target := range p.Targets {
			note(chosen.Replace(target.Expr))
		}
	}
	for _, alert := range alerts(t) {
		note(alert.Expr)
	}
	for _, documented := range regexp.MustCompile("(?m)^\\| `(aka_\\w+)` \\|").FindAllStringSubmatch(read(t, "docs/metrics.md"), -1) {
		if name := documented[1]; !seen[name] && !slices.Contains(closer, name) {
			t.Errorf("%s is in no panel and no alert, nor left out on purpose", name)
		}
	}
}

// closer are the metrics for those who look for a cause.
var closer = []string{
	"aka_possibly_delivered_after_crash_total", "aka_forgotten_calls_total", "aka_blocking_dead_letter_retries_total", "aka_merges_forgotten_total", "aka_merges_ledger_lost_total",
	"aka_merges_remembered", "aka_options_ignored_total", "aka_routing_diagnostics_total", "aka_window_calls", "aka_dead_letters_withdrawn_total",
	"aka_dropped_kept", "aka_dropped_kept_bytes", "aka_dropped_kept_max_bytes", "aka_dropped_kept_oldest_seconds", "aka_dropped_not_kept_total", "aka_dropped_removed_total",
}
