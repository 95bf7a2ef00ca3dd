package ignite

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	"ignite/internal/wire"
)

const (
	readBufferBytes = 64 << 10
	// helloBytesMax bounds the first frame, before which nothing is agreed.
	helloBytesMax = 4 << 10
)

// worker serves one connection.
type worker struct {
	handler Handler
	hello   wire.Hello
	out     *outbox

	mu sync.Mutex
	// running holds the executions that are not answered yet.
	running map[uint64]*Context
	// active counts handlers and answers that have not been handed to the outbox; it outlives the entry in running.
	active   int
	draining bool
	idle     chan struct{} // closed when draining and nothing is active
}

// serve speaks frames on conn until the host ends it, and gives the exit status of the process. Executions may still
// run then.
func serve(conn io.ReadWriter, handler Handler) (status int, err error) {
	in := bufio.NewReaderSize(conn, readBufferBytes)
	w := &worker{handler: handler, running: make(map[uint64]*Context), idle: make(chan struct{})}
	w.out = newOutbox(conn, w.isBusy)
	if w.hello, err = readHello(in); err != nil {
		return readFailure(err)
	}
	if failure := w.checkStart(); failure != nil {
		w.out.end(wire.AppendFailure(w.out.begin(), wire.KindInitError, 0, *failure))
		w.out.flush()
		return exitInit, errors.New(failure.Message)
	}
	w.hello.MaxConcurrency = max(w.hello.MaxConcurrency, 1)
	w.out.end(wire.AppendReady(w.out.begin(), wire.Ready{
		Version: wire.Version, MaxConcurrency: w.hello.MaxConcurrency, SDK: sdkVersion,
	}))

	failed := make(chan error, 1)
	go func() { failed <- w.read(in) }()
	select {
	case err := <-failed:
		return readFailure(err)
	case <-w.idle:
		w.out.end(wire.AppendEmpty(w.out.begin(), wire.KindBye, 0))
		w.out.flush()
		return exitDone, nil
	}
}

// checkStart tells why this program cannot serve, if so.
func (w *worker) checkStart() *wire.Failure {
	if w.hello.Version != wire.Version {
		return &wire.Failure{Type: "abi_version", Message: fmt.Sprintf(
			"this function was built for version %d of the worker protocol and its host speaks version %d: compile it again",
			wire.Version, w.hello.Version,
		)}
	}
	if w.handler == nil {
		return &wire.Failure{Type: "no_handler", Message: "ignite.Start was called with a nil handler"}
	}
	return nil
}

// readFailure gives the exit status for the end of the connection: nobody is left to tell where it was closed.
func readFailure(err error) (int, error) {
	var fault *hostFault
	if errors.As(err, &fault) {
		return exitBadHost, err
	}
	return exitDone, nil
}

// hostFault is a frame that the protocol does not allow here.
type hostFault struct{ cause error }

func (f *hostFault) Error() string { return "the host broke the worker protocol: " + f.cause.Error() }
func (f *hostFault) Unwrap() error { return f.cause }

// readFrame reads one frame into memory of its own.
func readFrame(in *bufio.Reader, lengthMax uint32) (wire.Header, []byte, error) {
	head, err := in.Peek(wire.HeaderBytes)
	if err != nil {
		return wire.Header{}, nil, err
	}
	header, err := wire.DecodeHeader(head, lengthMax)
	if err != nil {
		return header, nil, &hostFault{err}
	}
	// What was peeked at can always be discarded.
	_, _ = in.Discard(wire.HeaderBytes)
	payload := make([]byte, header.Length)
	_, err = io.ReadFull(in, payload)
	return header, payload, err
}

func readHello(in *bufio.Reader) (wire.Hello, error) {
	header, payload, err := readFrame(in, helloBytesMax)
	if err != nil {
		return wire.Hello{}, err
	}
	if header.Kind != wire.KindHello {
		return wire.Hello{}, &hostFault{fmt.Errorf("frame of kind %d in place of HELLO", header.Kind)}
	}
	hello, err := wire.DecodeHello(payload)
	if err != nil {
		return wire.Hello{}, &hostFault{err}
	}
	return hello, nil
}

// read takes frames until the connection ends or breaks the protocol.
func (w *worker) read(in *bufio.Reader) error {
	for {
		header, payload, err := readFrame(in, wire.FrameBytesMax)
		if err != nil {
			return err
		}
		if err := w.take(header, payload); err != nil {
			return &hostFault{err}
		}
	}
}

func (w *worker) take(header wire.Header, payload []byte) error {
	switch header.Kind {
	case wire.KindInvoke:
		if !header.End() {
			return errors.New("INVOKE without END")
		}
		return w.invoke(header.ID, payload)
	case wire.KindCancel:
		reason, err := wire.DecodeCancel(payload)
		if c := w.find(header.ID); c != nil && err == nil {
			c.cancelBy(reason)
		}
		return err
	case wire.KindCredit:
		credit, err := wire.DecodeCredit(payload)
		if c := w.find(header.ID); c != nil && err == nil {
			c.credit.grant(int64(credit))
		}
		return err
	case wire.KindDrain:
		if len(payload) > 0 {
			return errors.New("DRAIN with a payload")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.draining {
			w.draining = true
			w.checkIdle()
		}
		return nil
	default:
		return fmt.Errorf("frame of kind %d is not for a worker that serves", header.Kind)
	}
}

func (w *worker) invoke(id uint64, payload []byte) error {
	invoke, err := wire.DecodeInvoke(payload)
	if err != nil {
		return err
	}
	c, err := newContext(id, invoke, w.out, limits{
		frameBytesMax: int(min(w.hello.FrameBytesMax, wire.FrameBytesMax)),
		windowBytes:   int64(w.hello.WindowBytes),
	})
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.draining:
		return errors.New("INVOKE after DRAIN")
	case len(w.running) >= int(w.hello.MaxConcurrency):
		return fmt.Errorf("INVOKE while %d executions are in flight", len(w.running))
	case w.running[id] != nil:
		return fmt.Errorf("INVOKE with id %d, which is in flight", id)
	}
	w.running[id] = c
	w.active++
	go func() {
		defer w.done()
		c.run(w.handler, invoke.Body, w.forget)
	}()
	return nil
}

// forget frees the slot of an execution, before its answer is sent: the host may use it as soon as it has the answer.
func (w *worker) forget(c *Context) {
	w.mu.Lock()
	delete(w.running, c.id)
	w.mu.Unlock()
}

func (w *worker) done() {
	w.mu.Lock()
	w.active--
	w.checkIdle()
	w.mu.Unlock()
}

func (w *worker) checkIdle() {
	if w.draining && w.active == 0 {
		close(w.idle)
	}
}

func (w *worker) isBusy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.active > 1
}

func (w *worker) find(id uint64) *Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running[id]
}
