package ignite_test

import (
	"bufio"
	"io"
	"testing"

	"ignite/internal/wire"
)

// The host's side of these takes about as much of the machine as the worker: compare runs with each other.

func BenchmarkOneAtATime(b *testing.B)      { benchmark(b, 1) }
func BenchmarkSixtyFourAtOnce(b *testing.B) { benchmark(b, 64) }

func benchmark(b *testing.B, atOnce int) {
	h := startProcessFor(b, "test")
	if _, err := h.conn.Write(wire.AppendHello(nil, hello)); err != nil {
		b.Fatal(err)
	}
	request := wire.Invoke{
		ExecutionID: "01J0000000000000000000000Z", FunctionID: "acme/hello", OrganizationID: "acme", Method: "POST",
		Path: "/echo", Body: []byte(`{"name":"Ada"}`), TimeoutMicros: 30_000_000,
	}
	headers := []wire.Pair{
		{Name: "host", Value: "hello-acme.ignite.localhost"}, {Name: "content-type", Value: "application/json"},
		{Name: "user-agent", Value: "bench/1.0"}, {Name: "accept", Value: "*/*"}, {Name: "content-length", Value: "14"},
	}
	in := bufio.NewReaderSize(h.conn, 64<<10)
	take := func() {
		head, err := in.Peek(wire.HeaderBytes)
		if err != nil {
			b.Fatal(err)
		}
		header, err := wire.DecodeHeader(head, wire.FrameBytesMax)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.CopyN(io.Discard, in, int64(wire.HeaderBytes+header.Length))
	}
	take() // READY
	id := uint64(0)
	sent, taken := 0, 0
	var out []byte
	b.ResetTimer()
	for taken < b.N {
		for sent-taken < atOnce {
			id++
			sent++
			out = wire.AppendInvoke(out, id, request, headers)
		}
		if len(out) > 0 {
			if _, err := h.conn.Write(out); err != nil {
				b.Fatal(err)
			}
			out = out[:0]
		}
		take()
		taken++
		// What has arrived together is answered together, as a host does.
		for in.Buffered() >= wire.HeaderBytes && sent > taken {
			take()
			taken++
		}
	}
}
