package main

import "time"

const (
	tlsDestinations = 3
	// tlsSettle is the time in which a session of each vendor is known, and the limits grow.
	tlsSettle = 5 * time.Second
	// tlsMeasured is longer than a connection to a vendor is used, so that all of them are renewed.
	tlsMeasured = 40 * time.Second
)

// overTLS measures aliases to vendors over http, and then over https. There, a connection that follows another one resumes its session.
func overTLS(b *bench) {
	for _, scheme := range []string{"http", "https"} {
		b.overScheme(scheme)
	}
}

func (b *bench) overScheme(scheme string) {
	settle, during := tlsSettle, max(b.duration, tlsMeasured)
	if b.Short {
		settle, during = 0, b.duration
	}
	w := startWorld(b, setup{destinations: tlsDestinations, scheme: scheme})
	row := TLS{Name: "alias, 3 destinations, " + scheme, Settle: settle.Seconds(), HasGoal: scheme == "https" && !b.Short}
	lead := min(mostLead, b.deliveries) / tlsDestinations
	w.feed(lead, settle)
	w.profiled(row.Name, func() { w.measureTLS(&row, lead, during) })
	if w.finish() == nil {
		row.Left = tlsDestinations*int(w.People.Load()) - w.delivered()
	}
	opened := w.entrance()
	row.Connections, row.Full, row.Resumed, row.RSS = opened.Connections, opened.Full, opened.Resumed, w.memory().Now>>20
	if scheme == "https" && row.Full == 0 {
		w.Errorf("the vendors were reached without https")
	}
	b.report.TLS = append(b.report.TLS, row)
	w.Stop()
}

// measureTLS fills the row with what came in a time.
func (w *world) measureTLS(row *TLS, lead int, during time.Duration) {
	deliveries, used, opened, begin := w.delivered(), w.cpu(), w.entrance(), time.Now()
	w.feed(lead, during)
	took := time.Since(begin)
	deliveries = w.delivered() - deliveries
	row.Measured, row.Rate, row.CPU = took.Seconds(), float64(deliveries)/took.Seconds(), per100k(w.cpu()-used, deliveries)
	row.LateFull = w.entrance().Full - opened.Full
}
