package ingress

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestABusyConnectionIsKeptAndASilentOneIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{ReadTimeout: time.Second, IdleTimeout: time.Minute}
		client, accepted := net.Pipe()
		defer client.Close()
		c := &conn{Conn: accepted, all: newConns(nil), slack: slackOf(&limits)}
		defer c.Close()
		one := make([]byte, 1)
		for range 1000 {
			_ = c.SetReadDeadline(time.Now().Add(limits.ReadTimeout))
			go client.Write(one)
			if _, err := c.Read(one); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		start := time.Now()
		_ = c.SetReadDeadline(start.Add(limits.ReadTimeout))
		_, err := c.Read(one)
		if waited := time.Since(start); !isTimeout(err) || waited > limits.ReadTimeout || waited < limits.ReadTimeout*9/10 {
			t.Errorf("%v after %s", err, waited)
		}
	})
}

func TestAClientThatReadsKeepsItsConnectionAndOneThatDoesNotLosesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, accepted := net.Pipe()
		defer client.Close()
		c := &conn{Conn: accepted, all: newConns(nil), slack: deadlineSlack}
		defer c.Close()
		one := make([]byte, 1)
		for range 1000 {
			_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second))
			go client.Read(one)
			if _, err := c.Write(one); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		start := time.Now()
		_ = c.SetWriteDeadline(start.Add(10 * time.Second))
		_, err := c.Write(one)
		if waited := time.Since(start); !isTimeout(err) || waited > 10*time.Second || waited < 9*time.Second {
			t.Errorf("%v after %s", err, waited)
		}
		_ = c.SetWriteDeadline(time.Time{})
		go client.Read(one)
		if _, err := c.Write(one); err != nil {
			t.Errorf("without a deadline: %v", err)
		}
	})
}
