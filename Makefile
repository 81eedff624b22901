# Names for the commands; each one works by itself too.
.PHONY: build test race fuzz sdks e2e bench benchmarks faults demo lint ci

build: ; CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o aka .
test:  ; go test ./...
race:  ; go test -race ./...
fuzz:  ; go test -run '^$$' -fuzz FuzzParse -fuzztime 1m -fuzzminimizetime 1x ./router/segment
sdks:  ; e2e/sdks/setup.sh
e2e:   ; go test -race -tags sdks -v ./e2e
bench: ; go run ./bench
benchmarks: ; go test -run '^$$' -bench . -benchmem ./router/... ./destinations/...
faults: ; go run ./e2e/faults
demo:  ; go run . demo
lint:  ; test -z "$$(gofmt -l .)" && go vet ./... && go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
ci:    ; .ci/run
