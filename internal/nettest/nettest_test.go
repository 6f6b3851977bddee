package nettest_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/octavo-books/octavo/internal/nettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that says again what it hears.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		tasks.Wait()
	})
	return listener.Addr().String()
}

// ask says a line and waits a while for the answer.
func ask(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	fmt.Fprintln(conn, "hello")
	_, err := bufio.NewReader(conn).ReadString('\n')
	return err
}

func TestProxy(t *testing.T) {
	proxy := nettest.Start(t, echo(t))
	connect := func() net.Conn {
		t.Helper()
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", proxy.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	before := connect()
	if err := ask(before); err != nil {
		t.Fatal(err)
	}
	proxy.Silence()
	during := connect()
	for name, conn := range map[string]net.Conn{"before": before, "during": during} {
		if err := ask(conn); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection of %s the silence: %v, want no answer and no end", name, err)
		}
	}
	proxy.Open()
	after := connect()
	if err := ask(after); err != nil {
		t.Errorf("a new connection: %v", err)
	}
	if err := ask(before); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection of before the silence: %v, want no answer and no end", err)
	}
	proxy.Close()
	for name, conn := range map[string]net.Conn{"of before": after, "that is new": connect()} {
		if err := ask(conn); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection %s once it is closed: %v, want its end", name, err)
		}
	}
}

func TestAFreeAddressCanBeListenedAt(t *testing.T) {
	listener, err := net.Listen("tcp", nettest.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if port := listener.Addr().(*net.TCPAddr).Port; port >= 32_768 {
		t.Errorf("the port %d is one that the system gives to anybody", port)
	}
}
