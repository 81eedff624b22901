package delivery

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// What an exchange costs beside that of a bare client which posts the same: the processor's time and the memory, the vendor's
// own time included.
func BenchmarkExchange(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	vendor := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(`{"status":200,"message":"Success."}`) }}
	go func() { _ = vendor.Serve(listener) }()
	defer func() { _ = vendor.Shutdown() }()
	x := Exchange{
		Method: "POST", URL: "http://" + listener.Addr().String() + "/api/v2/events/track?debug=0",
		Header: map[string]string{"Content-Type": "application/json", "Accept": "application/json"},
		Body:   []byte(`{"auth_token":"t0ken","text":"` + strings.Repeat("x", 400) + `"}`),
	}
	b.Run("bare", func(b *testing.B) {
		client := &fasthttp.Client{}
		measureExchanges(b, func() bool { return bareExchange(client, x) == 200 })
	})
	b.Run("sender", func(b *testing.B) {
		s := NewHTTPSender(Options{Timeout: 10 * time.Second, AllowPrivate: true})
		measureExchanges(b, func() bool { return s.Send(x).Status == 200 })
	})
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
