package ignite

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"ignite/internal/wire"
)

const (
	defaultContentType = "application/octet-stream"
	// failureTextBytesMax bounds each text of an error.
	failureTextBytesMax = 64 << 10
	// cancelGrace is how long an execution that stopped at its deadline waits for the host to say the same.
	cancelGrace = 250 * time.Millisecond
)

// answer is what a handler says about its answer besides the body.
type answer struct {
	status  int // 0: 200
	headers []wire.Pair
	// typed tells whether headers has a content type.
	typed bool
}

// SetStatus sets the status of the answer, 200 to 599; 200 is the default. It panics outside that range, and has no
// effect once a stream has begun to send.
func (c *Context) SetStatus(status int) {
	if status < 200 || status > 599 {
		panic(fmt.Sprintf("ignite: status %d is not within 200 and 599", status))
	}
	c.answer.status = status
}

// SetHeader sets a header of the answer in place of those set before under this name. It has no effect once a stream
// has begun to send.
func (c *Context) SetHeader(name, value string) {
	name = strings.ToLower(name)
	kept := c.answer.headers[:0]
	for _, header := range c.answer.headers {
		if header.Name != name {
			kept = append(kept, header)
		}
	}
	c.answer.headers = kept
	c.AddHeader(name, value)
}

// AddHeader adds a header to the answer, as for several Set-Cookie. It has no effect once a stream has begun to send.
func (c *Context) AddHeader(name, value string) {
	name = strings.ToValidUTF8(strings.ToLower(name), "?")
	c.answer.headers = append(c.answer.headers, wire.Pair{Name: name, Value: value})
	c.answer.typed = c.answer.typed || name == "content-type"
}

// head gives status and headers as they are sent.
func (a *answer) head() wire.Result {
	result := wire.Result{Status: a.status, Headers: a.headers}
	if result.Status == 0 {
		result.Status = http.StatusOK
	}
	if !a.typed && result.Status != http.StatusNoContent && result.Status != http.StatusNotModified {
		result.Headers = append(result.Headers, wire.Pair{Name: "content-type", Value: defaultContentType})
	}
	return result
}

// run calls the handler and sends its answer. forget is called once, before the last frame.
func (c *Context) run(handler Handler, payload []byte, forget func(*Context)) {
	var body []byte
	var err error
	returned := false
	// In a deferred call, because a handler may also end by a panic or by runtime.Goexit.
	defer func() {
		var failure *wire.Failure
		if !returned {
			failure = describePanic(recover())
		} else if err != nil {
			failure = c.describe(err)
		}
		c.finish(body, failure, forget)
	}()
	body, err = handler(payload, c)
	returned = true
}

// finish sends the last frame of the execution.
func (c *Context) finish(body []byte, failure *wire.Failure, forget func(*Context)) {
	c.mu.Lock()
	stream := c.stream
	c.mu.Unlock()
	started := false
	if stream != nil {
		if failure == nil && len(body) > 0 {
			failure = &wire.Failure{
				Type: "stream", Message: "the handler returned a body although it had called Context.Stream",
			}
		}
		rest, err := stream.close(failure == nil)
		if err != nil && failure == nil {
			failure = c.describe(err)
		}
		started, body = stream.started, rest
	}
	result := c.answer.head()
	if failure == nil && c.frameBytes(result, body) > c.limits.frameBytesMax {
		failure = &wire.Failure{Type: "response_too_large", Message: fmt.Sprintf(
			"the answer of %d bytes exceeds the limit of %d bytes: stream it", len(body), c.limits.frameBytesMax,
		)}
	}
	c.close()
	forget(c)
	frames := c.out.begin()
	switch {
	case failure != nil:
		frames = wire.AppendFailure(frames, wire.KindError, c.id, *failure)
	case started:
		frames = wire.AppendChunk(frames, c.id, true, body)
	default:
		result.Body = body
		frames = wire.AppendResult(frames, c.id, true, result)
	}
	c.out.end(frames)
}

// frameBytes is the length of the payload of a RESULT.
func (c *Context) frameBytes(result wire.Result, body []byte) int {
	length := 6 + len(body)
	for _, header := range result.Headers {
		length += 4 + len(header.Name) + len(header.Value)
	}
	return length
}

// describe turns an error of the handler into what is sent.
func (c *Context) describe(err error) *wire.Failure {
	failure := &wire.Failure{Type: errorType(err), Message: cleanText(fmt.Sprint(err))}
	if c.isCancelled() && isCancellation(err) {
		c.awaitCancel()
		failure.Type = "cancelled"
	}
	return failure
}

func isCancellation(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, ErrCallerGone) || errors.Is(err, ErrShutdown)
}

// errorType names the class of an error: the first type in its chain that says more than "an error with a text".
func errorType(err error) string {
	for depth := 0; err != nil && depth < 32; depth++ {
		kind := reflect.TypeOf(err)
		name := strings.TrimLeft(kind.String(), "*")
		switch name {
		case "errors.errorString", "errors.joinError", "fmt.wrapError", "fmt.wrapErrors":
		default:
			return name
		}
		if list, ok := err.(interface{ Unwrap() []error }); ok && len(list.Unwrap()) > 0 {
			err = list.Unwrap()[0]
			continue
		}
		err = errors.Unwrap(err)
	}
	return "error"
}

// describePanic turns what a handler panicked with into what is sent. It must be called while the stack of the panic
// still stands. Nothing was recovered where the handler called runtime.Goexit.
func describePanic(value any) *wire.Failure {
	if value == nil {
		return &wire.Failure{Type: "goexit", Message: "the handler ended its goroutine by runtime.Goexit"}
	}
	return &wire.Failure{
		Type: "panic", Message: cleanText(fmt.Sprint(value)), Trace: cleanText(panicTrace(string(debug.Stack()))),
	}
}

// panicTrace drops the frames above the place of the panic.
func panicTrace(stack string) string {
	const marker = "\npanic("
	if at := strings.LastIndex(stack, marker); at >= 0 {
		// Two lines for the call of panic: function and place.
		lines := strings.SplitN(stack[at+1:], "\n", 3)
		return lines[len(lines)-1]
	}
	return stack
}

// cleanText makes a text that a frame can carry.
func cleanText(text string) string {
	return strings.ToValidUTF8(wire.Cut(text, failureTextBytesMax), "\uFFFD")
}
