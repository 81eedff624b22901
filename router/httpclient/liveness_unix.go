//go:build unix

package httpclient

import (
	"errors"
	"net"
	"syscall"
)

// liveness reports whether a connection is idle. It is made once for a connection, so that asking it allocates nothing.
type liveness struct {
	socket  syscall.RawConn
	receive func(fd uintptr)
	alive   bool
	buffer  [1]byte
}

// watch has the liveness check look at this connection.
func (p *liveness) watch(c net.Conn) {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	p.socket, _ = socket.SyscallConn()
	p.receive = func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), p.buffer[:], syscall.MSG_PEEK)
		p.alive = errors.Is(err, syscall.EAGAIN)
	}
}

// isAlive reports whether nothing has come on the connection, its end included. It takes nothing from it, and does not wait.
func (p *liveness) isAlive() bool {
	if p.receive == nil {
		return true
	}
	p.alive = false
	// Not Read, which the deadline of the last exchange may end.
	return p.socket != nil && p.socket.Control(p.receive) == nil && p.alive
}
