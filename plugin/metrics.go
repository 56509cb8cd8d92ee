package plugin

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/job"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/problem"
)

// metrics are the counters of this process, from its start and across sessions.
// They count also while nobody scrapes, so that a rare event is not missed.
//
// Labels have few values: verbs, kinds of errors, procedures, nodes. The name of
// a volume is no label.
type metrics struct {
	registry *prometheus.Registry
	nfs      nfs.Stats

	requests     *prometheus.CounterVec
	requestTook  *prometheus.HistogramVec
	ontap        *prometheus.CounterVec
	ontapTook    *prometheus.HistogramVec
	jobs         *prometheus.CounterVec
	jobBytes     *prometheus.CounterVec
	jobTook      *prometheus.HistogramVec
	surveyErrors prometheus.Counter
}

func newMetrics(version string) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	seconds := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &metrics{
		registry:     prometheus.NewRegistry(),
		requests:     counter("berth_requests_total", "Requests of dockerd and the command line that were answered, by verb and by what came of them.", "verb", "outcome"),
		requestTook:  seconds("berth_request_duration_seconds", "How long requests took.", []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 100}, "verb"),
		ontap:        counter("berth_ontap_requests_total", "HTTP exchanges with the filer's API, repeated ones too, by the answer's status; none: there was no answer.", "method", "code"),
		ontapTook:    seconds("berth_ontap_request_duration_seconds", "How long exchanges with the filer's API took.", []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "method"),
		jobs:         counter("berth_jobs_total", "Restores, undos and takeovers that ended on this node.", "op", "outcome"),
		jobBytes:     counter("berth_job_bytes_total", "Bytes that jobs have copied, added when they end.", "op"),
		jobTook:      seconds("berth_job_duration_seconds", "How long jobs were at work.", []float64{1, 5, 15, 60, 300, 900, 3600, 14400}, "op"),
		surveyErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "berth_survey_errors_total", Help: "Times that the export's space or newest snapshot could not be read."}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "berth_build_info", Help: "Always 1; the version of this berth.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.requestTook, m.ontap, m.ontapTook, m.jobs, m.jobBytes, m.jobTook, m.surveyErrors, build,
		nfsCollector{&m.nfs}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, op := range jobOps {
		for _, outcome := range []string{"done", "failed"} {
			m.jobs.WithLabelValues(string(op), outcome)
		}
		m.jobBytes.WithLabelValues(string(op))
	}
	return m
}

// jobOps are the operations that are jobs.
var jobOps = []cluster.Op{cluster.OpRestore, cluster.OpUndo, cluster.OpTakeover}

// outcomes are the possible outcomes of a request.
var outcomes = []string{"ok", string(problem.Failed), string(problem.Invalid), string(problem.NotFound), string(problem.InUse), string(problem.Unreachable), string(problem.Nothing)}

// expect makes the counters of a verb that changes something with the value 0, so
// that a rule sees the step to the first error.
func (m *metrics) expect(verb string) {
	for _, outcome := range outcomes {
		m.requests.WithLabelValues(verb, outcome)
	}
}

// request counts one request.
func (m *metrics) request(verb string, took time.Duration, err error) {
	outcome := "ok"
	if err != nil {
		outcome = string(problem.KindOf(err))
	}
	m.requests.WithLabelValues(verb, outcome).Inc()
	m.requestTook.WithLabelValues(verb).Observe(took.Seconds())
}

// ontapRequest counts one exchange with the filer's API.
func (m *metrics) ontapRequest(method string, status int, took time.Duration) {
	code := "none"
	if status != 0 {
		code = strconv.Itoa(status)
	}
	m.ontap.WithLabelValues(method, code).Inc()
	m.ontapTook.WithLabelValues(method).Observe(took.Seconds())
}

// job counts a job that has ended.
func (m *metrics) job(op cluster.Op, p job.Progress, err error) {
	outcome := "done"
	if err != nil || p.State == job.Failed {
		outcome = "failed"
	}
	m.jobs.WithLabelValues(string(op), outcome).Inc()
	m.jobBytes.WithLabelValues(string(op)).Add(float64(p.Bytes))
	m.jobTook.WithLabelValues(string(op)).Observe(p.Seconds)
}
