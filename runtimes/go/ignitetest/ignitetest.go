// Package ignitetest runs handlers in unit tests, without a server.
//
//	response := ignitetest.Invoke(handler, ignitetest.Request{Body: []byte("Ada")})
//	if response.Status != 200 || string(response.Body) != "hello, Ada" {
//		t.Errorf("answered %d %s", response.Status, response.Body)
//	}
//
// The handler runs in the same code that serves it in production: what it returns, panics with, streams and logs is
// what a caller and the platform would see, but for the platform's own limits.
package ignitetest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"ignite"
	"ignite/internal/hook"
	"ignite/internal/wire"
)

// Request is one request. Its zero value is a POST of nothing to `/`.
type Request struct {
	// Method is POST where it is empty.
	Method string
	// Path is percent-encoded; `/` where it is empty.
	Path string
	// Query has no `?`.
	Query   string
	Headers http.Header
	Body    []byte
	// ExecutionID, FunctionID and OrganizationID have values of their own where they are empty.
	ExecutionID, FunctionID, OrganizationID string
	// Timeout is the time the execution has; none where it is zero.
	Timeout time.Duration
	// Context cancels the execution as if the caller went away; it may be nil.
	Context context.Context
}

// Response is what the caller and the platform see of an execution.
type Response struct {
	// Status is 500 where the handler failed before anything was sent.
	Status  int
	Headers http.Header
	// Body is what was sent until the end or the failure.
	Body []byte
	// Streamed tells whether the body was sent while the handler ran.
	Streamed bool
	// Error is how the handler failed; nil where it did not.
	Error *Error
	Logs  []Log
}

// Error is how a handler failed.
type Error struct {
	// Type is the error's class: its Go type, or `panic`, or `cancelled`.
	Type    string
	Message string
	// Trace is the stack of a panic.
	Trace string
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// Log is a record written with [ignite.Context.Log].
type Log struct {
	// Level is trace, debug, info, warn or error.
	Level   string
	Message string
	// Fields is a JSON object, or empty.
	Fields string
}

// Invoke runs the handler once and waits until it has returned.
func Invoke(handler ignite.Handler, request Request) *Response {
	recorder := &recorder{response: Response{Status: http.StatusOK, Headers: http.Header{}}}
	execution := newExecution(request, recorder.take)
	if request.Context != nil {
		stop := context.AfterFunc(request.Context, func() { execution.Cancel(wire.CancelDisconnect) })
		defer stop()
	}
	ended := make(chan struct{})
	// In a goroutine of its own, as in production: a handler may end it.
	go func() {
		defer close(ended)
		execution.Run(handler, request.Body)
	}()
	<-ended
	recorder.mu.Lock()
	defer recorder.mu.Unlock()
	return &recorder.response
}

// NewContext gives a context for a handler, or a part of one, that a test calls itself. What is sent and logged through
// it is dropped.
func NewContext(request Request) *ignite.Context {
	return newExecution(request, func([]byte) {}).Context().(*ignite.Context)
}

func newExecution(request Request, send func([]byte)) hook.Execution {
	invoke := wire.Invoke{
		TimeoutMicros:  uint64(max(request.Timeout.Microseconds(), 0)),
		ExecutionID:    or(request.ExecutionID, "01TEST00000000000000000000"),
		FunctionID:     or(request.FunctionID, "test/function"),
		OrganizationID: or(request.OrganizationID, "test"),
		Method:         or(request.Method, http.MethodPost),
		Path:           or(request.Path, "/"),
		Query:          request.Query,
	}
	var headers []wire.Pair
	for name, values := range request.Headers {
		for _, value := range values {
			headers = append(headers, wire.Pair{Name: strings.ToLower(name), Value: value})
		}
	}
	// Through the codec, so that the handler sees what it would see.
	frame := wire.AppendInvoke(nil, 1, invoke, headers)
	invoke, err := wire.DecodeInvoke(frame[wire.HeaderBytes:])
	var execution hook.Execution
	if err == nil {
		execution, err = hook.NewExecution(invoke, send)
	}
	if err != nil {
		panic(fmt.Sprintf("ignitetest: no host could send this request: %v", err))
	}
	return execution
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// recorder puts the frames of one execution together.
type recorder struct {
	mu       sync.Mutex
	response Response
	begun    bool
}

var levels = [...]string{"trace", "debug", "info", "warn", "error"}

func (r *recorder) take(frames []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(frames) > 0 {
		header, err := wire.DecodeHeader(frames, wire.FrameBytesMax)
		if err == nil {
			end := wire.HeaderBytes + int(header.Length)
			err = r.takeOne(header, frames[wire.HeaderBytes:end])
			frames = frames[end:]
		}
		if err != nil {
			panic(fmt.Sprintf("ignitetest: the SDK sent a malformed frame: %v", err))
		}
	}
}

func (r *recorder) takeOne(header wire.Header, payload []byte) error {
	switch header.Kind {
	case wire.KindResult:
		result, err := wire.DecodeResult(payload)
		r.begun = true
		r.response.Status, r.response.Body = result.Status, result.Body
		r.response.Streamed = !header.End()
		for _, pair := range result.Headers {
			r.response.Headers.Add(pair.Name, pair.Value)
		}
		return err
	case wire.KindChunk:
		r.response.Body = append(r.response.Body, payload...)
	case wire.KindError:
		failure, err := wire.DecodeFailure(payload)
		r.response.Error = &Error{Type: failure.Type, Message: failure.Message, Trace: failure.Trace}
		if !r.begun {
			r.response.Status = http.StatusInternalServerError
		}
		return err
	case wire.KindLog:
		log, err := wire.DecodeLog(payload)
		if err != nil {
			return err
		}
		r.response.Logs = append(r.response.Logs, Log{levels[log.Level], log.Message, log.Fields})
	}
	return nil
}
