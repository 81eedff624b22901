# A static binary in an empty image. Build: docker build -t aka .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=""
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X aka/router/cli.version=${VERSION}" -o /aka . \
 && install -d -m 0700 /data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /aka /aka
COPY --from=build /src/config.example.yaml /config.example.yaml
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
# Mount config.yaml at /config.yaml. Its journal.dir, ./data by default, is this volume.
VOLUME /data
# The admin address, 127.0.0.1:9090, is this container's own. To reach it from outside, the config has admin.listen ":9090" and
# admin.token_file, without which it is refused; probes of /healthz and /readyz need no token.
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/aka", "health"]
ENTRYPOINT ["/aka"]
CMD ["serve"]
