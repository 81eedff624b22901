package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"aka/e2e/harness"
)

// bareJob is what the bare client is to do.
type bareJob struct {
	URL         string // of the sink
	Exchanges   []exchange
	Times       int
	Connections int
}

// bareResult is what the job took.
type bareResult struct {
	CPU, Took time.Duration
}

// runClient is the role of what no sender can be cheaper than: fasthttp's own client, sending exchanges that aka has sent. It
// prints what they took.
func runClient(args []string) error {
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	if err := flags.Parse(args); err != nil {
		return err
	}
	text, err := os.ReadFile(flags.Arg(0))
	if err != nil {
		return err
	}
	var job bareJob
	if err := json.Unmarshal(text, &job); err != nil {
		return err
	}
	before, begin := harness.ProcessorTime(), time.Now()
	if err := job.run(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(bareResult{harness.ProcessorTime() - before, time.Since(begin)})
}

// run sends the exchanges in turn.
func (job *bareJob) run() error {
	client := &fasthttp.Client{MaxConnsPerHost: job.Connections, NoDefaultUserAgentHeader: true}
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make([]error, job.Connections)
	for i := range failed {
		all.Go(func() {
			for n := next.Add(1); n <= int64(job.Times) && failed[i] == nil; n = next.Add(1) {
				failed[i] = job.send(client, &job.Exchanges[n%int64(len(job.Exchanges))])
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

func (job *bareJob) send(client *fasthttp.Client, x *exchange) error {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI(job.URL + x.URI)
	request.Header.SetMethod(x.Method)
	for name, value := range x.Header {
		request.Header.Set(name, value)
	}
	request.SetBodyRaw(x.Body)
	if err := client.DoTimeout(request, response, 10*time.Second); err != nil {
		return err
	}
	if response.StatusCode() != fasthttp.StatusOK {
		return fmt.Errorf("%w %d", errStatus, response.StatusCode())
	}
	return nil
}

// start does the job in another process.
func (job *bareJob) start(w *world) (result bareResult) {
	text, err := json.Marshal(job)
	harness.Check(w, err)
	path := filepath.Join(w.Dir, "bare.json")
	harness.Check(w, os.WriteFile(path, text, 0o600))
	c := startChild(w, "client", path)
	c.stop()
	harness.Check(w, json.Unmarshal([]byte(c.said), &result))
	return result
}
