package ignite_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"ignite/internal/wire"
)

func TestBodies(t *testing.T) {
	h := startWorker(t, "test")
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for name, body := range map[string][]byte{
		"all bytes": every,
		"empty":     nil,
		"unicode":   []byte("größe 数 🦀"),
		"json":      []byte(`{"a":[1,2,{"b":null}]}`),
		"6 MiB":     bytes.Repeat(every, 6<<20/256),
	} {
		result := h.result(h.invoke("/echo", body))
		if result.Status != 200 || !bytes.Equal(result.Body, body) || contentType(result) != "application/octet-stream" {
			t.Errorf("%s: %d, %d bytes, %v", name, result.Status, len(result.Body), result.Headers)
		}
	}
}

func TestContextFields(t *testing.T) {
	h := startWorker(t, "test")
	id := h.invokeWith(wire.Invoke{
		Method: "PATCH", Path: "/context", Query: "a=1&b=%20&a=%C3%BC", TimeoutMicros: 30_000_000,
	}, []wire.Pair{{Name: "x-two", Value: "a"}, {Name: "host", Value: "h"}, {Name: "x-two", Value: "b\xff"}})
	want := `execution-1 acme/test acme PATCH /context a=1&b=%20&a=%C3%BC ["1" "ü"] ["a" "b\xff"] [h] true`
	if got := string(h.result(id).Body); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	if got := string(h.result(h.invoke("/env", nil)).Body); got != "false" {
		t.Errorf("IGNITE_WORKER_FD is still set: %s", got)
	}
}

func TestStatusAndHeaders(t *testing.T) {
	h := startWorker(t, "test")
	result := h.result(h.invoke("/status", nil))
	want := "201 [{content-type application/json} {set-cookie a=1} {set-cookie b=2}] {}"
	if got := fmt.Sprint(result.Status, " ", result.Headers, " ", string(result.Body)); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	if result := h.result(h.invoke("/no-content", nil)); result.Status != 204 || len(result.Headers) != 0 {
		t.Errorf("no content: %+v", result)
	}
}

func TestFailures(t *testing.T) {
	h := startWorker(t, "test")
	for path, want := range map[string]string{
		"/error":         "error: größer als 3\uFFFD",
		"/typed-error":   "ignite_test.notFound: while looking: it is not there",
		"/library-error": "fs.PathError: open /does/not/exist: no such file or directory",
		"/panic":         "panic: assignment to entry in nil map",
		"/bad-status":    "panic: ignite: status 100 is not within 200 and 599",
		"/goexit":        "goexit: the handler ended its goroutine by runtime.Goexit",
		"/large": "response_too_large: the answer of 33554432 bytes exceeds the limit of 33554432 bytes: " +
			"stream it",
	} {
		failure := h.failure(h.invoke(path, nil))
		if got := failure.Type + ": " + failure.Message; got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		if path == "/panic" && !strings.HasPrefix(failure.Trace, "ignite_test.deeper(") {
			t.Errorf("the trace does not begin at the panic:\n%s", failure.Trace)
		}
	}
	if got := string(h.result(h.invoke("/echo", []byte("alive"))).Body); got != "alive" {
		t.Error("the worker does not live on")
	}
}

func TestConcurrentOutOfOrder(t *testing.T) {
	h := startWorker(t, "test")
	waiting := make(map[uint64]string)
	for i := range 50 {
		body := fmt.Sprint("body ", i)
		waiting[h.invoke("/wait", []byte(body))] = body
	}
	// The last is answered while the fifty before it still run.
	h.result(h.invoke("/release", nil))
	for id, want := range waiting {
		if got := string(h.result(id).Body); got != want {
			t.Errorf("execution %d answered %q", id, got)
		}
	}
}

func TestLogs(t *testing.T) {
	h := startWorker(t, "test")
	id := h.invoke("/log", nil)
	for _, want := range []wire.Log{
		{Level: 1, Message: "two\nlines\uFFFD", Fields: `{"user":7}`},
		{Level: 3, Message: "grouped", Fields: `{"user":7,"http":{"time":1,"in":{"msg":"x"}}}`},
		{Level: 0, Message: "fine", Fields: `{"user":7}`},
		{Level: 4, Message: "bare"},
		{Level: 4, Message: strings.Repeat("ß", 32<<10), Fields: `{"fields_dropped":"longer than 65536 bytes"}`},
	} {
		log, err := wire.DecodeLog(h.nextOf(id).expect(t, wire.KindLog).payload)
		if err != nil || log != want {
			t.Errorf("%+.200v %v, want %+.200v", log, err, want)
		}
	}
	h.result(id)
	// What an answered execution left behind logs without an id.
	h.result(h.invoke("/log-later", nil))
	if log, err := wire.DecodeLog(h.nextOf(0).expect(t, wire.KindLog).payload); err != nil || log.Message != "later" {
		t.Errorf("%+v %v", log, err)
	}
}

func TestTempStoreIsPerExecution(t *testing.T) {
	h := startWorker(t, "test")
	for range 2 {
		if got := string(h.result(h.invoke("/store", []byte("x"))).Body); got != "0 <nil>" {
			t.Error(got)
		}
	}
	got := string(h.result(h.invoke("/store", make([]byte, 20<<20))).Body)
	if got != "0 <nil>" {
		t.Error(got)
	}
}

func TestCancel(t *testing.T) {
	h := startWorker(t, "test")
	for reason, want := range map[wire.CancelReason]string{
		wire.CancelDeadline:   "gave up: context deadline exceeded",
		wire.CancelDisconnect: "gave up: the caller went away",
		wire.CancelShutdown:   "gave up: the host is shutting down",
	} {
		id := h.invoke("/until-cancelled", nil)
		h.nextOf(id).expect(t, wire.KindLog)
		h.send(wire.AppendCancel(nil, id, reason))
		if failure := h.failure(id); failure.Type != "cancelled" || failure.Message != want {
			t.Errorf("%+v, want %s", failure, want)
		}
	}
	id := h.invoke("/ignores-cancel", nil)
	h.nextOf(id).expect(t, wire.KindLog)
	h.send(wire.AppendCancel(nil, id, wire.CancelDisconnect))
	if got := string(h.result(id).Body); got != "done anyway" {
		t.Error(got)
	}
	// Unknown ids are no fault.
	h.send(wire.AppendCancel(nil, 9999, wire.CancelDisconnect))
	h.send(wire.AppendCredit(nil, 9999, 1))
	h.result(h.invoke("/echo", nil))
}

func TestDeadlineCancelsWithoutTheHost(t *testing.T) {
	h := startWorker(t, "test")
	id := h.invokeWith(wire.Invoke{Path: "/until-cancelled", TimeoutMicros: 1000}, nil)
	h.nextOf(id).expect(t, wire.KindLog)
	if failure := h.failure(id); failure.Type != "cancelled" {
		t.Errorf("%+v", failure)
	}
}

func TestDrain(t *testing.T) {
	h := startWorker(t, "test")
	id := h.invoke("/wait", []byte("last"))
	release := h.invoke("/release", nil)
	h.send(wire.AppendEmpty(nil, wire.KindDrain, 0))
	h.result(id)
	h.result(release)
	for f := h.next(); f.Kind != wire.KindBye; f = h.next() {
		t.Errorf("frame of kind %d before BYE", f.Kind)
	}
	if status := h.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func TestDrainWaitsForAStreamThatNeedsCredit(t *testing.T) {
	h := startWorker(t, "test")
	id := h.invoke("/stream", make([]byte, 1000))
	h.send(wire.AppendEmpty(nil, wire.KindDrain, 0))
	h.nextOf(id).expect(t, wire.KindResult)
	h.send(wire.AppendCredit(nil, id, 1<<30))
	total := 0
	for {
		f := h.next().expect(t, wire.KindChunk)
		total += len(f.payload)
		if f.End() {
			break
		}
	}
	h.next().expect(t, wire.KindBye)
	if status := h.exit(); total != 1_000_000 || status != 0 {
		t.Errorf("%d bytes, exit status %d", total, status)
	}
}

func TestClosedSocketEndsTheWorker(t *testing.T) {
	h := startWorker(t, "test")
	h.nextOf(h.invoke("/until-cancelled", nil)).expect(t, wire.KindLog)
	h.conn.Close()
	if status := h.exit(); status != 0 {
		t.Errorf("exit status %d: %s", status, h.stderr)
	}
}

func TestHostFaultsEndTheWorker(t *testing.T) {
	truncated := wire.AppendInvoke(nil, 1, wire.Invoke{Path: "/echo"}, nil)
	truncated = append([]byte{3, 0, 0, 0}, truncated[4:wire.HeaderBytes+3]...)
	noEnd := wire.AppendInvoke(nil, 1, wire.Invoke{Path: "/echo"}, nil)
	noEnd[5] = 0
	wait := wire.AppendInvoke(nil, 1, wire.Invoke{Path: "/wait"}, nil)
	badHeader := wire.AppendInvoke(nil, 1, wire.Invoke{Path: "/echo"}, []wire.Pair{{Name: "a", Value: "b"}})
	badHeader[len(badHeader)-3] = 200
	for name, frames := range map[string][]byte{
		"unknown kind":     {0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"too long":         {0, 0, 0, 0xff, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"truncated INVOKE": truncated,
		"INVOKE, no END":   noEnd,
		"id in flight":     append(bytes.Clone(wait), wait...),
		"header block":     badHeader,
		"worker's frame":   wire.AppendEmpty(nil, wire.KindBye, 0),
		"FORK":             wire.AppendEmpty(nil, wire.KindFork, 3),
		"second HELLO":     wire.AppendHello(nil, hello),
		"cancel reason":    wire.AppendCancel(nil, 1, 9),
	} {
		h := startWorker(t, "test")
		h.send(frames)
		if status := h.exit(); status != 70 || !strings.Contains(h.stderr.String(), "broke the worker protocol") {
			t.Errorf("%s: exit status %d: %s", name, status, h.stderr)
		}
	}
	h := startProcess(t, "test")
	h.send(wire.AppendEmpty(nil, wire.KindDrain, 0))
	if status := h.exit(); status != 70 {
		t.Errorf("no HELLO: exit status %d", status)
	}
}

func TestTooManyInFlightIsAFault(t *testing.T) {
	h := startWorker(t, "test")
	for range hello.MaxConcurrency + 1 {
		h.invoke("/wait", nil)
	}
	if status := h.exit(); status != 70 {
		t.Errorf("exit status %d", status)
	}
}

func TestInitErrors(t *testing.T) {
	other := hello
	other.Version = 2
	for _, c := range []struct {
		handler, want string
		hello         wire.Hello
	}{{"test", "abi_version", other}, {"nil", "no_handler", hello}} {
		h := startProcess(t, c.handler)
		// A later version may have made HELLO longer.
		frame := append(wire.AppendHello(nil, c.hello), 1, 2, 3)
		frame[0] += 3
		h.send(frame)
		failure, err := wire.DecodeFailure(h.next().expect(t, wire.KindInitError).payload)
		if err != nil || failure.Type != c.want {
			t.Errorf("%+v %v", failure, err)
		}
		if status := h.exit(); status != 1 {
			t.Errorf("exit status %d", status)
		}
	}
}

func TestStartedByHand(t *testing.T) {
	for fd, want := range map[string]string{"": "ignite run .", "IGNITE_WORKER_FD=x": "not a descriptor", "IGNITE_WORKER_FD=77": "77"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), workerEnv+"=test", fd)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), want) || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%q: exit status %d: %s", fd, cmd.ProcessState.ExitCode(), out)
		}
	}
}
