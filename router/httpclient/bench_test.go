package httpclient

import (
	"crypto/sha256"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// What an exchange costs beside that of a bare client which posts the same: the processor's time and the memory, the vendor's
// own time included. A query is how Kissmetrics takes a call.
func BenchmarkExchange(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	vendor := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(`{"status":200,"message":"Success."}`) }}
	go func() { _ = vendor.Serve(listener) }()
	defer func() { _ = vendor.Shutdown() }()
	base := "http://" + listener.Addr().String()
	for _, c := range []struct {
		name string
		x    Exchange
	}{
		{"body", Exchange{
			Method: "POST", URL: base + "/api/v2/events/track?debug=0",
			Header: map[string]string{"Content-Type": "application/json", "Accept": "application/json"},
			Body:   []byte(`{"auth_token":"t0ken","text":"` + strings.Repeat("x", 400) + `"}`),
		}},
		{"query", Exchange{Method: "GET", URL: base + "/e?_k=key&_p=jane%40email.com&_n=" + strings.Repeat("Order+", 66)}},
	} {
		b.Run(c.name+"/bare", func(b *testing.B) {
			client := &fasthttp.Client{}
			measureExchanges(b, func() bool { return bareExchange(client, c.x) == 200 })
		})
		b.Run(c.name+"/sender", func(b *testing.B) {
			s := New(Options{Timeout: 10 * time.Second, AllowPrivate: true})
			measureExchanges(b, func() bool { return s.Send(c.x).Status == 200 })
		})
	}
}

func BenchmarkCompress(b *testing.B) {
	batch := []byte{'['}
	for i := range 2000 {
		batch = fmt.Appendf(batch, `{"event":"Order","properties":{"token":"t0ken","distinct_id":"user-%d","$insert_id":"%x","time":%d,"plan":"pro"}},`,
			i*7919%5000, sha256.Sum256([]byte{byte(i), byte(i >> 8)}), 1795342050000+i*i)
	}
	var p packed
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		p.compress(batch)
	}
	b.ReportMetric(float64(len(batch))/float64(len(p)), "times-smaller")
}

func bareExchange(client *fasthttp.Client, x Exchange) (status int) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI(x.URL)
	request.Header.SetMethod(x.Method)
	for name, value := range x.Header {
		request.Header.Set(name, value)
	}
	request.SetBodyRaw(x.Body)
	if err := client.DoTimeout(request, response, 10*time.Second); err != nil {
		return 0
	}
	return response.StatusCode()
}

func measureExchanges(b *testing.B, exchange func() bool) {
	b.Helper()
	b.ReportAllocs()
	before := processorTime()
	for b.Loop() {
		if !exchange() {
			b.Fatal("no answer")
		}
	}
	b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
}

// processorTime is what this process has used of the processors.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
