package main

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
)

// section is a table of what one kind of scenario measured.
type section struct {
	head string // with tabs between, as in a row
	rows []row
}

// row is a line: what it is of, in one column or several, and the figures.
type row struct {
	names   []string
	figures []figure
}

// figure is a number and how it is shown.
type figure struct {
	value  float64
	format string
}

// whole, tenths and hundredths show so many digits.
func whole(value float64) figure      { return figure{value, "%.0f"} }
func tenths(value float64) figure     { return figure{value, "%.1f"} }
func hundredths(value float64) figure { return figure{value, "%.2f"} }

// percent shows a share.
func percent(share float64) figure { return figure{100 * share, "%.0f %%"} }

// known is a figure that is shown as a dash where it was not measured.
func known(value float64) figure {
	if value == 0 {
		return figure{0, "-"}
	}
	return hundredths(value)
}

// share shows a small one.
func share(of float64) figure { return figure{100 * of, "%.1f %%"} }

// bound shows a figure in a format, or a dash where there is none.
func bound(format string, value float64) figure {
	if value == 0 {
		return figure{0, "-"}
	}
	return figure{value, format}
}

// goal shows that there should be none, or a dash.
func (t *TLS) goal() figure {
	if t.HasGoal {
		return whole(0)
	}
	return figure{0, "-"}
}

// limit shows the lowest and the highest where they differ.
func (l *Latency) limit() figure {
	if l.Low == l.High {
		return whole(float64(l.High))
	}
	return figure{float64(l.High), fmt.Sprintf("%d to %%.0f", l.Low)}
}

func (f figure) String() string {
	if !strings.Contains(f.format, "%") {
		return f.format
	}
	return fmt.Sprintf(f.format, f.value)
}

// mebibytes shows bytes.
func mebibytes(bytes int64) figure { return tenths(float64(bytes) / (1 << 20)) }

// sections are all tables, also those without rows, always in the same order.
func (r *Report) sections() []section {
	accept := section{head: "accept\trequests/s\tcalls/s\tempty's/s\tof empty\tgoal\tp50 ms\tgoal\tp99\tp99.9\tlimit\tCPU s/100k\tempty's\tload's\tcalls/frame\tsync ms\tdisk calls/s\tMiB"}
	for _, a := range r.Accept {
		accept.add([]string{a.Name}, whole(a.Requests), whole(a.Calls), whole(a.EmptyRequests), percent(a.OfEmpty), bound(">= %.0f %%", 100*a.OfEmptyGoal), hundredths(a.P50),
			bound("<= %.2f", a.P50Goal), hundredths(a.P99), hundredths(a.P999), hundredths(a.Limit), hundredths(a.CPU), hundredths(a.EmptyCPU), hundredths(a.LoadCPU), whole(a.CallsPerFrame), hundredths(a.Sync),
			whole(a.DiskCalls), whole(float64(a.RSS)))
	}
	deliver := section{head: "deliver\tdeliveries/s\taccepted/s\tCPU s/100k\tbare client's\tratio\tgoal\tkeeping's\tsink's\tMiB"}
	for _, d := range r.Deliver {
		deliver.add([]string{d.Name}, whole(d.Rate), whole(d.AcceptRate), hundredths(d.CPU), known(d.BareCPU), known(d.OfBare), bound("<= %.2f", d.OfBareGoal),
			hundredths(d.KeepCPU), hundredths(d.SinkCPU), whole(float64(d.RSS)))
	}
	overTLS := section{head: "tls\tafter s\tfor s\tdeliveries/s\tCPU s/100k\tconnections\tfull handshakes\tresumed\tfull later\tgoal\tleft\tMiB"}
	for _, t := range r.TLS {
		overTLS.add([]string{t.Name}, whole(t.Settle), whole(t.Measured), whole(t.Rate), hundredths(t.CPU), whole(float64(t.Connections)), whole(float64(t.Full)),
			whole(float64(t.Resumed)), whole(float64(t.LateFull)), t.goal(), whole(float64(t.Left)), whole(float64(t.RSS)))
	}
	lag := section{head: "lag\tdestination\tanswers after ms\tcalls/s\tp50 ms\tp99"}
	for _, l := range r.Lag {
		lag.add([]string{l.Name, l.Destination}, whole(l.Delay), whole(l.Rate), tenths(l.P50), tenths(l.P99))
	}
	latency := section{head: "latency\tconcurrency\tafter s\tfor s\tdeliveries/s\tgoal\t429\tgoal\t503\tgoal\tanswered in ms\tgoal\tlimit\tlearned/s\tCPU s/100k\tbare client's/s\tCPU s/100k"}
	for _, l := range r.Latency {
		latency.add([]string{l.Name, l.Concurrency}, whole(l.Settle), whole(l.Measured), whole(l.Rate), bound(">= %.0f", l.Goal), share(l.Throttled), bound("< %.0f %%", 100*l.ThrottledGoal),
			share(l.Overloaded), bound("< %.0f %%", 100*l.OverloadedGoal), whole(l.Mean), bound("<= %.0f", l.MeanGoal), l.limit(), bound("%.0f", l.Learned), known(l.CPU), bound("%.0f", l.Bare), known(l.BareCPU))
	}
	backlog := section{head: "backlog\taccepted/s\tCPU s/100k\tMiB\tgoal\tpeak\tdisk MiB/1M\tstart s\tafter crash\tMiB\tgoal\tdrained/s\tCPU s/100k\tleft\tpeak MiB"}
	for _, b := range r.Backlog {
		backlog.add([]string{b.Name}, whole(b.AcceptRate), hundredths(b.AcceptCPU), whole(float64(b.RSS)), bound("<= %.0f", b.RSSGoal), whole(float64(b.Peak)), whole(b.DiskPerMillion),
			hundredths(b.Start), hundredths(b.StartAfterCrash), whole(float64(b.RSSAfterStart)), bound("<= %.0f", b.RSSAfterStartGoal),
			whole(b.DrainRate), hundredths(b.DrainCPU), whole(float64(b.Left)), whole(float64(b.PeakAfterStart)))
	}
	disk := section{head: "disk\tcalls\tMiB of calls\twritten MiB\tper byte\tlargest folder MiB\tfolder MiB\tafter s"}
	for _, d := range r.Disk {
		disk.add([]string{d.Name}, whole(float64(d.Calls)), mebibytes(d.Bytes), mebibytes(d.Written), known(d.PerByte), mebibytes(d.Largest), mebibytes(d.Folder), tenths(d.Wait))
	}
	blocked := section{head: "blocked\twindow\tothers' calls/s\tdelivered/s\tshare\tworst second\tp50 ms\tp99\tparked\tids\twritten MiB\tMiB\tgoal\tfirst after s\tall after s\twritten MiB\tleft\tpeak MiB"}
	for _, b := range r.Blocked {
		blocked.add([]string{b.Name, strconv.Itoa(b.Window)}, whole(b.Accepted), whole(b.Delivered), percent(b.Share), percent(b.Worst), tenths(b.P50), tenths(b.P99),
			whole(float64(b.Parked)), whole(float64(b.IDs)), mebibytes(b.Written), whole(float64(b.RSS)), bound("<= %.0f", b.RSSGoal),
			tenths(b.First), tenths(b.Drain), mebibytes(b.DrainWritten), whole(float64(b.Left)), whole(float64(b.PeakRSS)))
	}
	memory := section{head: "memory of merges\tdeliveries/s\toff\tratio\tCPU s/100k\toff\tMiB\toff"}
	for _, m := range r.Memory {
		memory.add([]string{m.Name}, whole(m.On), whole(m.Off), hundredths(m.Ratio), hundredths(m.OnCPU), hundredths(m.OffCPU), whole(float64(m.OnRSS)), whole(float64(m.OffRSS)))
	}
	facts := section{head: "facts\tfacts\timported in s\tfolder MiB\tstart s\tgoal\tMiB idle\tdeliveries/s\tMiB\tgoal\tpeak"}
	for _, f := range r.Facts {
		facts.add([]string{f.Name}, whole(float64(f.Facts)), tenths(f.Import), mebibytes(f.Bytes), hundredths(f.Start), bound("<= %.0f", f.StartGoal), whole(float64(f.RSS)),
			whole(f.Rate), whole(float64(f.LoadRSS)), bound("<= %.0f", f.LoadRSSGoal), whole(float64(f.Peak)))
	}
	commands := section{head: "commands\truns\tmedian ms\tgoal\tlargest"}
	for _, c := range r.Commands {
		commands.add([]string{c.Name}, whole(float64(c.Runs)), tenths(c.Median), bound("<= %.0f", c.Goal), tenths(c.Largest))
	}
	preflights := section{head: "preflight\tcalls\ts\tgoal\tCPU s/100k\tpeak MiB\tgoal"}
	for _, p := range r.Preflights {
		preflights.add([]string{p.Name}, whole(float64(p.Calls)), tenths(p.Seconds), bound("<= %.0f", p.Goal), hundredths(p.CPU), whole(float64(p.Peak)), bound("<= %.0f", p.PeakGoal))
	}
	return []section{accept, deliver, overTLS, lag, latency, backlog, disk, blocked, memory, facts, commands, preflights}
}

func (s *section) add(names []string, figures ...figure) {
	s.rows = append(s.rows, row{names, figures})
}

// write shows the tables. Where another binary was measured too, each row is followed by the other's and by their ratio.
func (r *Report) write(to io.Writer) {
	fmt.Fprintf(to, "%d cores, %s/%s\n", r.Cores, runtime.GOOS, runtime.GOARCH)
	other := make([]section, len(r.sections()))
	if r.Beside != nil {
		other = r.Beside.sections()
	}
	for i, s := range r.sections() {
		s.write(to, other[i].rows, r.beside())
	}
	r.writeWrong(to, "")
	if r.Beside != nil {
		r.Beside.writeWrong(to, r.beside()+": ")
	}
}

// beside is what the other binary is called.
func (r *Report) beside() string {
	if r.Beside == nil {
		return ""
	}
	return r.Beside.Aka
}

func (r *Report) writeWrong(to io.Writer, of string) {
	fmt.Fprintf(to, "\n%slost %d, out of order %d, delivered twice %d\n", of, r.Lost, r.Swapped, r.Repeated)
	for _, text := range r.missed() {
		fmt.Fprintf(to, "%sgoal missed: %s\n", of, text)
	}
	for _, text := range r.Wrong {
		fmt.Fprintf(to, "%sWRONG: %s\n", of, text)
	}
}

func (s *section) write(to io.Writer, other []row, beside string) {
	if len(s.rows)+len(other) == 0 {
		return
	}
	columns := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(columns, "\n%s\t\n", s.head)
	for i := range max(len(s.rows), len(other)) {
		if i < len(s.rows) {
			s.rows[i].write(columns)
		}
		if i < len(other) {
			other[i].named("  " + beside).write(columns)
		}
		if i < min(len(s.rows), len(other)) {
			s.rows[i].by(other[i]).write(columns)
		}
	}
	_ = columns.Flush()
}

func (r row) write(to io.Writer) {
	fmt.Fprint(to, strings.Join(r.names, "\t"))
	for _, f := range r.figures {
		fmt.Fprintf(to, "\t%s", f)
	}
	fmt.Fprint(to, "\t\n")
}

// named is the row under another name.
func (r row) named(name string) row {
	names := make([]string, len(r.names))
	names[0] = name
	return row{names, r.figures}
}

// by has each figure divided by the other's.
func (r row) by(other row) row {
	ratio := r.named("  ratio")
	ratio.figures = make([]figure, len(r.figures))
	for i, f := range r.figures {
		ratio.figures[i] = figure{0, "-"}
		if o := other.figures[i].value; o != 0 {
			ratio.figures[i] = hundredths(f.value / o)
		}
	}
	return ratio
}
