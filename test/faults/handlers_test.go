package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	_ "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	_ "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	_ "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
)

const (
	messagesPerMethod = 100
	requestsPerRoute  = 40
)

// harmless are the codes by which a service tells a client its mistake, or what
// is there.
var harmless = []codes.Code{
	codes.OK, codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.ResourceExhausted, codes.Unimplemented,
	codes.Unauthenticated,
}

// TestAnyMessage is row 15 of the faults: every method of every service gets
// messages of its type with anything in them, and bytes that are none. The
// services are the real ones with their stores and a model, and keep what they
// take: later messages meet it.
func TestAnyMessage(t *testing.T) {
	server := startOctavo(t)
	conns := map[string]*grpc.ClientConn{}
	for service, addr := range map[string]string{
		"Recommendations": server.addresses.Recommendations,
		"octavo.recommendations.v1.RecommendationsService": server.addresses.Recommendations,
		"octavo.catalog.v1.CatalogService":                 server.addresses.Catalog,
		"octavo.readers.v1.ReadersService":                 server.addresses.Readers,
		"octavo.readers.v1.AccountsService":                server.addresses.Readers,
	} {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns[service] = conn
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := &generator{Rand: rand.New(rand.NewPCG(seed, 0))}
	counts := map[codes.Code]int{}
	for _, method := range methods(t) {
		name := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
		conn := conns[string(method.Parent().FullName())]
		if conn == nil {
			t.Fatalf("%s: the test knows no server for it", name)
		}
		for range messagesPerMethod {
			request := random.request(method.Input())
			code, err := send(t.Context(), conn, name, method.IsStreamingServer(), request)
			counts[code]++
			if !slices.Contains(harmless, code) {
				t.Errorf("%s answers %v to %.100q (seed %d)", name, err, request, seed)
			}
		}
		request := make([]byte, 4<<20+1)
		if code, _ := send(t.Context(), conn, name, method.IsStreamingServer(), request); code != codes.ResourceExhausted {
			t.Errorf("%s answers %v to more than 4 MiB", name, code)
		}
	}
	for _, conn := range conns {
		if code, _ := send(t.Context(), conn, "/octavo.catalog.v1.CatalogService/Nothing", false, nil); code != codes.Unimplemented {
			t.Errorf("a method that does not exist answers %v", code)
		}
		break
	}
	t.Logf("answers: %v", counts)
	if counts[codes.OK] == 0 || counts[codes.InvalidArgument] == 0 {
		t.Error("the messages are all of one sort")
	}
	if strings.Contains(server.output.String(), "panic:") {
		t.Error("something panicked")
	}
	t.Run("pages", func(t *testing.T) { anyRequest(t, server, random) })
}

// methods are all methods of the contracts.
func methods(t testing.TB) []protoreflect.MethodDescriptor {
	t.Helper()
	var all []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if file.Package() != "" && !strings.HasPrefix(string(file.Package()), "octavo.") {
			return true
		}
		for i := range file.Services().Len() {
			for j := range file.Services().Get(i).Methods().Len() {
				all = append(all, file.Services().Get(i).Methods().Get(j))
			}
		}
		return true
	})
	slices.SortFunc(all, func(a, b protoreflect.MethodDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	if len(all) < 15 {
		t.Fatalf("only %d methods found", len(all))
	}
	return all
}

// send makes a call with these bytes. Of a stream it takes the first message.
func send(ctx context.Context, conn *grpc.ClientConn, method string, streaming bool, request []byte) (codes.Code, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var answer []byte
	options := []grpc.CallOption{grpc.ForceCodec(rawCodec{}), grpc.MaxCallSendMsgSize(math.MaxInt32), grpc.MaxCallRecvMsgSize(math.MaxInt32)}
	if !streaming {
		err := conn.Invoke(ctx, method, &request, &answer, options...)
		return status.Code(err), err
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method, options...)
	if err == nil {
		err = stream.SendMsg(&request)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = stream.RecvMsg(&answer)
	}
	return status.Code(err), err
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = slices.Clone(data)
	return nil
}

func (rawCodec) Name() string { return "proto" }

// generator makes up messages.
type generator struct {
	*rand.Rand
	room int // bytes that the message may still have, about
}

// mostBytes is more than a service takes, but not much.
const mostBytes = 5 << 20

// request is a message of a type, in bytes: usually a valid one with anything
// in its fields, sometimes damaged.
func (g *generator) request(kind protoreflect.MessageDescriptor) []byte {
	message := dynamicpb.NewMessage(kind)
	g.room = mostBytes
	g.fill(message, 0)
	bytes, err := proto.MarshalOptions{AllowPartial: true}.Marshal(message)
	if err != nil {
		panic(err) // the generator makes up valid text only
	}
	switch g.IntN(8) {
	case 0: // bad UTF-8 wherever there is text
		for i := range bytes {
			if bytes[i] >= 'a' && bytes[i] <= 'z' {
				bytes[i] = 0xff
			}
		}
	case 1: // some bytes changed
		for range 1 + g.IntN(4) {
			if len(bytes) > 0 {
				bytes[g.IntN(len(bytes))] = byte(g.IntN(256))
			}
		}
	case 2: // cut off
		bytes = bytes[:g.IntN(len(bytes)+1)]
	case 3: // followed by a field that nobody knows
		bytes = append(bytes, 0xfa, 0x7f, 0x02, 'h', 'i')
	}
	return bytes
}

func (g *generator) fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if g.IntN(4) == 0 {
			continue
		}
		if !field.IsList() {
			m.Set(field, g.value(m.NewField(field), field, depth))
			continue
		}
		list := m.Mutable(field).List()
		for n := g.length(); n > 0 && g.room > 0; n-- {
			g.room -= 8
			list.Append(g.value(list.NewElement(), field, depth))
		}
	}
}

func (g *generator) length() int {
	if g.IntN(30) == 0 {
		return []int{21, 101, 1001, 5001}[g.IntN(4)]
	}
	return g.IntN(4)
}

func (g *generator) value(zero protoreflect.Value, field protoreflect.FieldDescriptor, depth int) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(g.IntN(2) == 0)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(g.integer(math.MinInt32, math.MaxInt32)))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(g.integer(math.MinInt64, math.MaxInt64))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(g.integer(math.MinInt32, math.MaxInt32)))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(g.float()))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(g.float())
	case protoreflect.StringKind, protoreflect.BytesKind:
		text := g.text()
		g.room -= len(text)
		if field.Kind() == protoreflect.BytesKind {
			return protoreflect.ValueOfBytes([]byte(text))
		}
		return protoreflect.ValueOfString(text)
	case protoreflect.MessageKind:
		if depth < 4 {
			g.fill(zero.Message(), depth+1)
		}
		return zero
	default:
		panic("the contracts have a field of a kind that the test does not know: " + field.Kind().String())
	}
}

func (g *generator) integer(least, most int64) int64 {
	switch g.IntN(3) {
	case 0:
		return []int64{least, least + 1, -1, 0, most - 1, most}[g.IntN(6)]
	case 1:
		return g.Int64N(40)
	default:
		return []int64{99, 100, 101, 1000, 1001, 3000, -4000, 1 << 20, math.MaxInt32, g.Int64N(most), -g.Int64N(most)}[g.IntN(11)] % max(1, most)
	}
}

func (g *generator) float() float64 {
	return []float64{0, 1, 0.5, 3.5, 5, 4.2, -1, 1e-45, math.MaxFloat32, math.Inf(1), math.Inf(-1), math.NaN(), math.Copysign(0, -1)}[g.IntN(13)]
}

func (g *generator) text() string {
	switch g.IntN(4) {
	case 0:
		return fmt.Sprintf("key-%d", g.IntN(50))
	case 1:
		return strings.Repeat([]string{"x", "é", "\U0001f4d6", "a b "}[g.IntN(4)], []int{1, 64, 101, 201, 501, 20_000}[g.IntN(6)])
	default:
		return []string{
			"", " ", "dune", "9780441172719", "en", "\x00", "\u202e", "\ufeff", "<script>alert(1)</script>", `"; DROP TABLE books; --`,
			`"*" AND NEAR(`, "title:x OR *", "%_%", "\u0301", "=1+1", "../../etc/passwd", "AAAA", "AgQG", "-", "NaN", "1e999", "00000000000000000000",
		}[g.IntN(22)]
	}
}

// anyRequest sends the storefront anything: it answers with a page or says what
// is wrong, and never that it is broken.
func anyRequest(t *testing.T, server *octavo, random *generator) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{
		Jar:           jar,
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	routes := []struct{ method, path string }{
		{"GET", "/"}, {"GET", "/fantasy"}, {"GET", "/book/{id}"}, {"GET", "/book/{id}/{text}"}, {"POST", "/book/{id}/rate"},
		{"POST", "/book/{id}/shelf"}, {"GET", "/reader"}, {"POST", "/reader"}, {"GET", "/me"}, {"GET", "/search"}, {"GET", "/how"},
		{"GET", "/sign-in"}, {"POST", "/sign-in"}, {"GET", "/sign-up"}, {"POST", "/sign-up"}, {"POST", "/sign-out"}, {"GET", "/account"},
		{"POST", "/account/password"}, {"POST", "/account/sessions"},
		{"GET", "/{text}"}, {"DELETE", "/book/{id}"}, {"POST", "/{text}"}, {"HEAD", "/book/{id}"},
		{"GET", "/api/v1/recommendations"}, {"GET", "/api/v1/books/{id}"}, {"GET", "/api/v1/books/{text}"}, {"GET", "/api/v1/search"},
		{"GET", "/api/v1/categories/{text}"}, {"GET", "/api/v1/categories/fantasy"}, {"GET", "/api/v1/openapi.json"}, {"GET", "/api/{text}"},
		{"POST", "/api/v1/search"},
	}
	names := []string{"q", "after", "from", "simulated", "imported", "rating", "shelf", "reader", "token", "name", "password", "next", "end", "current_password", "new_password", "limit", "category", "x", "strategy", "recent", "page_token"}
	words := []string{"want", "reading", "finished", "removed", "none", "new", "row", "4.5", "NaN", "-0.5", "0x1p-2", "%", "%zz", "%ff%fe", ";"}
	statuses := map[int]int{}
	for _, route := range routes {
		for range requestsPerRoute {
			id := fmt.Sprint(random.integer(math.MinInt64, math.MaxInt64))
			path := strings.ReplaceAll(route.path, "{id}", id)
			path = strings.ReplaceAll(path, "{text}", url.PathEscape(random.text()))
			values := url.Values{}
			for range random.IntN(4) {
				value := random.text()
				switch random.IntN(3) {
				case 0:
					value = words[random.IntN(len(words))]
				case 1:
					value = fmt.Sprint(random.integer(math.MinInt64, math.MaxInt64))
				}
				values.Add(names[random.IntN(len(names))], value)
			}
			query, body := values.Encode(), ""
			if route.method == "POST" {
				query, body = "", query
			}
			if random.IntN(4) == 0 { // one that is in order, to have a session with something in it
				path = strings.ReplaceAll(route.path, "{id}", fmt.Sprint(1+random.IntN(800)))
				path = strings.ReplaceAll(path, "{text}", "title")
				query, body = "", "reader=new&rating=4.5&shelf=want"
			}
			if random.IntN(8) == 0 {
				query, body = "q=%zz&%ff=%00;", strings.Repeat("%", random.IntN(20_000))
			}
			if len(path)+len(query) > 16_000 {
				path, query = "/", "" // headers of that size are refused before
			}
			request, err := http.NewRequestWithContext(t.Context(), route.method, "http://"+server.addresses.HTTP, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			request.URL.Opaque, request.URL.RawQuery = path, query
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if random.IntN(4) == 0 {
				request.Header.Set("Content-Type", "multipart/form-data; boundary=")
			}
			if random.IntN(4) == 0 {
				request.Header.Set("Cookie", "octavo_session="+strings.Repeat("AQ", random.IntN(200)))
			}
			if random.IntN(3) == 0 {
				request.Header.Set("Accept", "application/json")
			}
			response, err := client.Do(request)
			if err != nil {
				t.Errorf("%s %.100s: %v", route.method, path, err)
				continue
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			statuses[response.StatusCode]++
			if response.StatusCode >= 500 {
				t.Errorf("%s %.100s?%.100s with %.100q answers %s", route.method, path, query, body, response.Status)
			}
		}
	}
	t.Logf("answers: %v", statuses)
	if statuses[http.StatusOK] == 0 || statuses[http.StatusSeeOther] == 0 || statuses[http.StatusBadRequest] == 0 {
		t.Error("the requests are all of one sort")
	}
}
