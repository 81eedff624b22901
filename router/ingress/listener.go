package ingress

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// acceptPause is how long a listener that is out of descriptors or memory waits for some to be given back.
const acceptPause = 50 * time.Millisecond

// patientListener outlasts the shortages that pass: one of them must not end the process. It may have been closed before.
type patientListener struct {
	net.Listener
	once   sync.Once
	closed error
}

// Close closes the listener.
func (l *patientListener) Close() error {
	l.once.Do(func() {
		if err := l.Listener.Close(); !errors.Is(err, net.ErrClosed) {
			l.closed = err
		}
	})
	return l.closed
}

// Accept waits for the next connection.
func (l *patientListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err == nil || !passes(err) {
			return conn, err
		}
		time.Sleep(acceptPause)
	}
}

func passes(err error) bool {
	for _, shortage := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, shortage) {
			return true
		}
	}
	return false
}
