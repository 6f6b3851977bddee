package chassis_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc/connectivity"

	"github.com/octavo-books/octavo/chassis"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// nameServer answers every question for addresses with those it has, until the
// test ends.
type nameServer struct {
	conn  net.PacketConn
	asked atomic.Int32
	mu    sync.Mutex
	has   [][4]byte
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{conn: conn}
	var serving sync.WaitGroup
	serving.Go(func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply, err := s.reply(buffer[:n]); err == nil {
				_, _ = conn.WriteTo(reply, from) // who hears nothing asks again
			}
		}
	})
	t.Cleanup(func() {
		conn.Close()
		serving.Wait()
	})
	return s
}

func (s *nameServer) reply(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range m.Questions {
		if q.Type == dnsmessage.TypeA {
			s.asked.Add(1)
			for _, a := range s.has {
				m.Answers = append(m.Answers, dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: a},
				})
			}
		}
	}
	return m.Pack()
}

func (s *nameServer) set(has ...[4]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has = has
}

// TestAServiceThatStartsLateIsFound soon, although its name was asked for in vain
// again and again: left to itself grpc-go would wait for at least eight seconds.
func TestAServiceThatStartsLateIsFound(t *testing.T) {
	t.Parallel()
	names, server, client := newNameServer(t), newProcess(t), newProcess(t)
	_, port, err := net.SplitHostPort(server.listen(nil, (&service{}).register).String())
	if err != nil {
		t.Fatal(err)
	}
	server.start()
	conn := client.dial("dns://" + names.conn.LocalAddr().String() + "/late.test.:" + port)
	client.start()
	eventually(t, "the name is asked for six times", time.Minute, func() bool { return names.asked.Load() >= 6 })
	names.set([4]byte{127, 0, 0, 1})
	eventually(t, "the service is found", 7*time.Second, func() bool { return conn.GetState() == connectivity.Ready })
}

// TestReplicasAreFollowed: one that is added to a name gets its share although
// nothing is wrong with those that are there, whose connections stay; and so does
// one that takes the place of another.
func TestReplicasAreFollowed(t *testing.T) {
	t.Parallel()
	names := newNameServer(t)
	type replica struct {
		*process
		calls atomic.Int32
	}
	port := "0"
	listen := func(host string) *replica {
		r := &replica{process: newProcess(t, func(f *chassis.Flags) { f.ConnectionAge = time.Hour })}
		addr, err := r.GRPC("server", net.JoinHostPort(host, port), nil, (&service{plain: func(context.Context, *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
			r.calls.Add(1)
			return &recommendationspb.RecommendationResponse{}, nil
		}}).register)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(addr.String())
		r.start()
		return r
	}
	first := listen("127.0.0.2")
	names.set([4]byte{127, 0, 0, 2})
	client := newProcess(t)
	conn := client.dial("dns://" + names.conn.LocalAddr().String() + "/replicas.test.:" + port)
	client.start()
	recommend := func() bool {
		_, err := recommendationspb.NewRecommendationsClient(conn).Recommend(t.Context(), nil)
		return err == nil
	}
	eventually(t, "the first replica answers", 10*time.Second, recommend)

	second := listen("127.0.0.3")
	names.set([4]byte{127, 0, 0, 2}, [4]byte{127, 0, 0, 3})
	added := time.Now()
	eventually(t, "the second replica is called", 10*time.Second, func() bool { recommend(); return second.calls.Load() > 0 })
	t.Logf("the added replica is called after %v", time.Since(added))

	third := listen("127.0.0.4")
	names.set([4]byte{127, 0, 0, 3}, [4]byte{127, 0, 0, 4})
	replaced := time.Now()
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the third replica is called", 10*time.Second, func() bool { recommend(); return third.calls.Load() > 0 })
	t.Logf("the new one is called after %v", time.Since(replaced))
}
