package ignite_test

import (
	"bytes"
	"testing"

	"ignite/internal/wire"
)

// takeStream reads a streamed answer, granting the credit back as it goes, and never sees more than the window under way.
func takeStream(t *testing.T, h *host, id uint64) (wire.Result, []byte) {
	t.Helper()
	first := h.nextOf(id)
	result := h.decodeResult(first)
	body := bytes.Clone(result.Body)
	granted := int(hello.WindowBytes)
	for end := first.End(); !end; {
		f := h.nextOf(id).expect(t, wire.KindChunk)
		body = append(body, f.payload...)
		if len(body) > granted {
			t.Fatalf("%d bytes with credit for %d", len(body), granted)
		}
		end = f.End()
		if granted-len(body) < int(hello.WindowBytes)/2 {
			h.send(wire.AppendCredit(nil, id, 100_000))
			granted += 100_000
		}
	}
	return result, body
}

func TestStream(t *testing.T) {
	h := startWorker(t, "test")
	part := bytes.Repeat([]byte("0123456789"), 100)
	result, body := takeStream(t, h, h.invoke("/stream", part))
	if !bytes.Equal(body, bytes.Repeat(part, 1000)) || contentType(result) != "text/event-stream" {
		t.Errorf("%d bytes, %v", len(body), result.Headers)
	}
	result, body = takeStream(t, h, h.invoke("/stream-empty", nil))
	if len(body) != 0 || result.Status != 202 {
		t.Errorf("%+v %q", result, body)
	}
	if result := h.result(h.invoke("/stream-unused", nil)); len(result.Body) != 0 {
		t.Errorf("%+v", result)
	}
}

func TestStreamStopsWithoutCredit(t *testing.T) {
	h := startWorker(t, "test")
	id := h.invoke("/stream", make([]byte, 1000))
	taken := len(h.decodeResult(h.nextOf(id)).Body)
	for taken < int(hello.WindowBytes) {
		taken += len(h.nextOf(id).expect(t, wire.KindChunk).payload)
	}
	if taken != int(hello.WindowBytes) {
		t.Fatalf("%d bytes with a window of %d", taken, hello.WindowBytes)
	}
	// Another execution is answered meanwhile, and nothing more of the stream came before its answer.
	h.result(h.invoke("/echo", nil))
	if len(h.aside) > 0 {
		t.Fatalf("%d frames without credit", len(h.aside))
	}
	h.send(wire.AppendCredit(nil, id, 1))
	if f := h.nextOf(id).expect(t, wire.KindChunk); len(f.payload) != 1 {
		t.Errorf("%d bytes for a credit of 1", len(f.payload))
	}
	// Cancelled while it waits for credit.
	h.send(wire.AppendCancel(nil, id, wire.CancelDisconnect))
	log, _ := wire.DecodeLog(h.nextOf(id).expect(t, wire.KindLog).payload)
	if log.Fields != `{"error":"the caller went away"}` {
		t.Errorf("%+v", log)
	}
	if failure := h.failure(id); failure.Type != "cancelled" {
		t.Errorf("%+v", failure)
	}
}

func TestStreamFailures(t *testing.T) {
	h := startWorker(t, "test")
	id := h.invoke("/stream-error", nil)
	if f := h.nextOf(id).expect(t, wire.KindResult); f.End() {
		t.Error("RESULT with END")
	}
	if f := h.nextOf(id).expect(t, wire.KindChunk); string(f.payload) != "part" {
		t.Errorf("%q", f.payload)
	}
	if failure := h.failure(id); failure.Message != "broke off" {
		t.Errorf("%+v", failure)
	}
	if failure := h.failure(h.invoke("/stream-and-body", nil)); failure.Type != "stream" {
		t.Errorf("%+v", failure)
	}
}
