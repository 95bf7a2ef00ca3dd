package ignite

import (
	"math"
	"sync"
	"time"

	"ignite/internal/hook"
	"ignite/internal/wire"
)

func init() {
	hook.NewExecution = func(invoke wire.Invoke, send func(frame []byte)) (hook.Execution, error) {
		// Nobody grants credit and nobody sends CANCEL at the deadline, so there is no end to the one and no wait for the
		// other.
		c, err := newContext(1, invoke, &testOutlet{send: send}, limits{
			frameBytesMax: wire.FrameBytesMax, windowBytes: math.MaxInt64, cancelGrace: time.Nanosecond,
		})
		return testExecution{c}, err
	}
}

type testExecution struct{ c *Context }

func (e testExecution) Context() any { return e.c }

func (e testExecution) Run(handler any, payload []byte) {
	e.c.run(handler.(Handler), payload, func(*Context) {})
}

func (e testExecution) Cancel(reason wire.CancelReason) { e.c.cancelBy(reason) }

// testOutlet hands frames on at once.
type testOutlet struct {
	mu   sync.Mutex
	send func(frame []byte)
}

func (o *testOutlet) begin() []byte {
	o.mu.Lock()
	return nil
}

func (o *testOutlet) end(frames []byte) {
	defer o.mu.Unlock()
	o.send(frames)
}
