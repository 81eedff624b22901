package journal

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	calls         prometheus.Counter
	frames        prometheus.Counter
	failed        prometheus.Counter
	missing       prometheus.Counter
	damaged       prometheus.Counter
	damagedPieces prometheus.Counter
	bytes         prometheus.Gauge
	recordBytes   prometheus.Gauge
	free          prometheus.Gauge
	duration      prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, o Options) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "aka", Subsystem: "journal", Name: name, Help: help})
	}
	m := &metrics{
		calls:         counter("calls_total", "Calls written to the journal."),
		frames:        counter("frames_total", "Frames written to the journal, each with one fsync."),
		failed:        counter("failed_writes_total", "Writes to the journal that failed; their clients were answered 503."),
		missing:       counter("missing_frames_total", "Frames that are gone from the journal before they were read: their calls are lost."),
		damaged:       counter("damaged_frames_total", "Frames and parked calls that cannot be read: what was in them is lost."),
		damagedPieces: counter("damaged_pieces_total", "Damaged pieces of files that were found when the journal was opened."),
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "aka", Subsystem: "journal", Name: "bytes",
			Help: "Size of the log of calls on disk."}),
		recordBytes: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "aka", Subsystem: "journal", Name: "record_bytes",
			Help: "Size on disk of what is kept beside the log: progress, dead letters, dropped calls, parked calls, merges."}),
		free: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "aka", Subsystem: "journal", Name: "disk_free_bytes",
			Help: "What the journal's disk has left."}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "aka", Subsystem: "journal", Name: "write_duration_seconds",
			Help: "Time to write and fsync one frame.", Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12)}),
	}
	limit := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "aka", Subsystem: "journal", Name: "max_bytes",
		Help: "Size at which the journal takes no more calls (journal.max_bytes)."})
	limit.Set(float64(o.MaxBytes))
	reg.MustRegister(m.calls, m.frames, m.failed, m.missing, m.damaged, m.damagedPieces, m.bytes, m.recordBytes, m.free, m.duration, limit)
	return m
}

func (m *metrics) wrote(took time.Duration, calls int) {
	m.frames.Inc()
	m.calls.Add(float64(calls))
	m.duration.Observe(took.Seconds())
}
