package ignite_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"ignite/internal/wire"
)

// waitMax bounds every wait of these tests.
const waitMax = 20 * time.Second

// host plays the host of one worker process.
type host struct {
	t       testing.TB
	conn    *os.File
	process *exec.Cmd
	stderr  *bytes.Buffer
	frames  chan frame // closed when the worker closes the socket
	nextID  uint64
	// aside holds frames of other executions than the one waited for.
	aside []frame
}

type frame struct {
	wire.Header
	payload []byte
}

// workerEnv tells the test binary which handler to serve; see TestMain.
const workerEnv = "IGNITE_TEST_HANDLER"

func startProcess(t *testing.T, handler string) *host {
	t.Helper()
	h := startProcessFor(t, handler)
	go h.read()
	return h
}

func startProcessFor(t testing.TB, handler string) *host {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(pair[0], true); err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "worker end")
	h := &host{
		t: t, conn: os.NewFile(uintptr(pair[0]), "host end"), stderr: new(bytes.Buffer), frames: make(chan frame, 1024),
	}
	h.process = exec.Command(os.Args[0])
	h.process.ExtraFiles = []*os.File{theirs}
	h.process.Env = append(os.Environ(), workerEnv+"="+handler, "IGNITE_WORKER_FD=3")
	h.process.Stderr = h.stderr
	if err := h.process.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	t.Cleanup(func() {
		h.conn.Close()
		_ = h.process.Process.Kill()
		_ = h.process.Wait()
	})
	return h
}

var hello = wire.Hello{Version: wire.Version, FrameBytesMax: 32 << 20, WindowBytes: 256 << 10, MaxConcurrency: 64}

// startWorker starts a worker and takes it to READY.
func startWorker(t *testing.T, handler string) *host {
	t.Helper()
	h := startProcess(t, handler)
	h.send(wire.AppendHello(nil, hello))
	ready, err := wire.DecodeReady(h.next().expect(t, wire.KindReady).payload)
	if err != nil || ready.MaxConcurrency != hello.MaxConcurrency || ready.Zygote {
		t.Fatalf("READY is %+v, %v", ready, err)
	}
	return h
}

func (h *host) read() {
	defer close(h.frames)
	in := bufio.NewReader(h.conn)
	for {
		head := make([]byte, wire.HeaderBytes)
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		header, err := wire.DecodeHeader(head, 64<<20)
		if err != nil {
			h.t.Errorf("the worker sent no frame: %v", err)
			return
		}
		payload := make([]byte, header.Length)
		if _, err := io.ReadFull(in, payload); err != nil {
			return
		}
		h.frames <- frame{header, payload}
	}
}

func (h *host) send(frames []byte) {
	h.t.Helper()
	if _, err := h.conn.Write(frames); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) next() frame {
	h.t.Helper()
	select {
	case f, ok := <-h.frames:
		if !ok {
			h.t.Fatalf("the worker closed the socket; stderr: %s", h.stderr)
		}
		return f
	case <-time.After(waitMax):
		h.t.Fatal("no frame came")
	}
	panic("not reached")
}

// nextOf gives the next frame of one execution.
func (h *host) nextOf(id uint64) frame {
	h.t.Helper()
	for i, f := range h.aside {
		if f.ID == id {
			h.aside = append(h.aside[:i:i], h.aside[i+1:]...)
			return f
		}
	}
	for {
		f := h.next()
		if f.ID == id {
			return f
		}
		h.aside = append(h.aside, f)
	}
}

func (f frame) expect(t testing.TB, kind wire.Kind) frame {
	t.Helper()
	if f.Kind != kind {
		t.Fatalf("frame of kind %d in place of %d: %q", f.Kind, kind, f.payload)
	}
	return f
}

// invoke sends INVOKE to a path of the test handler and gives its id.
func (h *host) invoke(path string, body []byte) uint64 {
	h.t.Helper()
	return h.invokeWith(wire.Invoke{Path: path, Body: body}, nil)
}

func (h *host) invokeWith(invoke wire.Invoke, headers []wire.Pair) uint64 {
	h.t.Helper()
	h.nextID++
	invoke.ExecutionID = fmt.Sprintf("execution-%d", h.nextID)
	invoke.FunctionID, invoke.OrganizationID = "acme/test", "acme"
	if invoke.Method == "" {
		invoke.Method = "POST"
	}
	h.send(wire.AppendInvoke(nil, h.nextID, invoke, headers))
	return h.nextID
}

// result waits for a complete answer.
func (h *host) result(id uint64) wire.Result {
	h.t.Helper()
	f := h.nextOf(id).expect(h.t, wire.KindResult)
	if !f.End() {
		h.t.Fatal("RESULT without END")
	}
	return h.decodeResult(f)
}

func (h *host) decodeResult(f frame) wire.Result {
	h.t.Helper()
	result, err := wire.DecodeResult(f.expect(h.t, wire.KindResult).payload)
	if err != nil {
		h.t.Fatal(err)
	}
	return result
}

func (h *host) failure(id uint64) wire.Failure {
	h.t.Helper()
	failure, err := wire.DecodeFailure(h.nextOf(id).expect(h.t, wire.KindError).payload)
	if err != nil {
		h.t.Fatal(err)
	}
	return failure
}

// exit waits for the end of the process and gives its status.
func (h *host) exit() int {
	h.t.Helper()
	ended := make(chan error, 1)
	var once sync.Once
	go once.Do(func() { ended <- h.process.Wait() })
	select {
	case <-ended:
		return h.process.ProcessState.ExitCode()
	case <-time.After(waitMax):
		h.t.Fatal("the worker does not exit")
		return -1
	}
}

func contentType(result wire.Result) string {
	for _, header := range result.Headers {
		if header.Name == "content-type" {
			return header.Value
		}
	}
	return ""
}
