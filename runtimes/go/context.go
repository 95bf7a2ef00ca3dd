package ignite

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"ignite/internal/wire"
)

// Why an execution was cancelled before its deadline, as [context.Cause] of [Context.Context] tells it. At the
// deadline the cause is [context.DeadlineExceeded].
var (
	// ErrCallerGone says that nobody waits for the answer any more.
	ErrCallerGone = errors.New("the caller went away")
	// ErrShutdown says that the host stops and its grace period is over.
	ErrShutdown = errors.New("the host is shutting down")
)

// Context is one execution: the request, and what its answer shall be besides the body. It is valid until the handler
// returns. SetStatus, SetHeader and AddHeader are for the handler's own goroutine; everything else may be used from
// several.
type Context struct {
	// ExecutionID is unique for every execution.
	ExecutionID string
	// FunctionID is the app, as `organisation/name`.
	FunctionID string
	// OrganizationID is the app's organisation.
	OrganizationID string
	// Headers are the request headers, with canonical names.
	Headers http.Header
	// Method is the HTTP method, as sent.
	Method string
	// Path is the path as sent: percent-encoded, beginning with `/`.
	Path string
	// Query is the query as sent, without the `?`; empty where there is none. See [Context.QueryValues].
	Query string

	id       uint64
	out      outlet
	limits   limits
	deadline time.Time // zero: none
	credit   credit
	answer   answer

	mu       sync.Mutex
	ctx      context.Context // made when somebody asks
	stop     context.CancelCauseFunc
	cause    error         // set by CANCEL
	told     chan struct{} // closed by CANCEL, where somebody waits for it
	answered bool
	stream   *Stream
	logger   *slog.Logger
	store    *TempStore
}

// limits are what the host accepts from one execution.
type limits struct {
	frameBytesMax int
	windowBytes   int64
	// cancelGrace is how long an answer that says "cancelled" waits for the host's CANCEL.
	cancelGrace time.Duration
}

func newContext(id uint64, invoke wire.Invoke, out outlet, limits limits) (*Context, error) {
	headers, err := decodeHeaders(invoke.Headers)
	if err != nil {
		return nil, err
	}
	if limits.cancelGrace == 0 {
		limits.cancelGrace = cancelGrace
	}
	c := &Context{
		ExecutionID:    invoke.ExecutionID,
		FunctionID:     invoke.FunctionID,
		OrganizationID: invoke.OrganizationID,
		Headers:        headers,
		Method:         invoke.Method,
		Path:           invoke.Path,
		Query:          invoke.Query,
		id:             id,
		out:            out,
		limits:         limits,
	}
	c.credit.left = limits.windowBytes
	if invoke.TimeoutMicros > 0 {
		// Longer than a year means no limit in effect and would overflow a Duration at some point.
		micros := min(invoke.TimeoutMicros, uint64(365*24*time.Hour/time.Microsecond))
		c.deadline = time.Now().Add(time.Duration(micros) * time.Microsecond)
	}
	return c, nil
}

func decodeHeaders(block string) (http.Header, error) {
	count := 0
	if err := wire.EachHeader(block, func(string, string) { count++ }); err != nil {
		return nil, err
	}
	headers := make(http.Header, count)
	values := make([]string, 0, count)
	err := wire.EachHeader(block, func(name, value string) {
		name = http.CanonicalHeaderKey(name)
		if list, ok := headers[name]; ok {
			headers[name] = append(list, value)
			return
		}
		// One array for all that occur once; the capacity of 1 makes a later append move away.
		values = append(values, value)
		headers[name] = values[len(values)-1 : len(values) : len(values)]
	})
	return headers, err
}

// QueryValues parses the query. Malformed pairs are left out.
func (c *Context) QueryValues() url.Values {
	values, _ := url.ParseQuery(c.Query)
	return values
}

// Deadline tells when the execution's time is up; false where it has no limit.
func (c *Context) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Context is cancelled at the deadline, when the caller goes away, when the host shuts down, and after the handler has
// returned. [context.Cause] tells which. Pass it to whatever the handler waits for; a handler that returns the
// context's error is recorded as cancelled, not as failed.
func (c *Context) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		// Made on demand: a timer for each execution costs more than most need.
		parent, stop := context.WithCancelCause(context.Background())
		c.ctx, c.stop = parent, stop
		if !c.deadline.IsZero() {
			timed, release := context.WithDeadline(parent, c.deadline)
			c.ctx, c.stop = timed, func(cause error) { stop(cause); release() }
		}
		if c.cause != nil {
			c.stop(c.cause)
		} else if c.answered {
			c.stop(context.Canceled)
		}
	}
	return c.ctx
}

// Log gives a logger whose records carry the execution's id. Records below the platform's level are dropped by the
// platform. Plain prints to stdout and stderr are logged too, line by line, but cannot always be told apart by
// execution.
func (c *Context) Log() *slog.Logger {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.logger == nil {
		c.logger = slog.New(newLogHandler(c))
	}
	return c.logger
}

// TempStore gives the execution's scratch store, which is gone when the handler returns.
func (c *Context) TempStore() *TempStore {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.store == nil {
		c.store = new(TempStore)
	}
	return c.store
}

// cancelBy carries out CANCEL.
func (c *Context) cancelBy(reason wire.CancelReason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return
	}
	switch reason {
	case wire.CancelDeadline:
		c.cause = context.DeadlineExceeded
	case wire.CancelDisconnect:
		c.cause = ErrCallerGone
	default:
		c.cause = ErrShutdown
	}
	if c.stop != nil {
		c.stop(c.cause)
	}
	if c.told != nil {
		close(c.told)
	}
}

// isCancelled tells whether the execution was asked to stop, by the host or by its deadline.
func (c *Context) isCancelled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause != nil || c.ctx != nil && c.ctx.Err() != nil
}

// awaitCancel waits until the host has said that the execution is cancelled, but no longer than the grace. Host and
// worker watch the deadline with a clock each; the host is to be first, because it answers the caller.
func (c *Context) awaitCancel() {
	c.mu.Lock()
	if c.cause != nil {
		c.mu.Unlock()
		return
	}
	told := make(chan struct{})
	c.told = told
	c.mu.Unlock()
	timer := time.NewTimer(c.limits.cancelGrace)
	defer timer.Stop()
	select {
	case <-told:
	case <-timer.C:
	}
}

// close ends what belongs to the execution. Log records of goroutines that outlive it no longer carry its id.
func (c *Context) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = true
	if c.stop != nil {
		c.stop(context.Canceled)
	}
}

func (c *Context) isAnswered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answered
}
