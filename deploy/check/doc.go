// Package check holds deploy/ to what Docker, Kubernetes, systemd, Prometheus and Grafana would say of it, and to what aka does.
// It is a module of its own: none of what it needs enters aka.
package check
