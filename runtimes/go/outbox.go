package ignite

import (
	"io"
	"runtime"
	"sync"
)

const (
	// outboxBytesMax is how much may wait for the socket before senders wait too.
	outboxBytesMax = 4 << 20
	// outboxKeepBytesMax is the largest buffer kept for the next round.
	outboxKeepBytesMax = 1 << 20
)

// outlet takes whole frames. Between begin and end the caller appends one or more frames to the buffer that begin gave
// and hands the result to end; nobody else sends meanwhile.
type outlet interface {
	begin() []byte
	end(frames []byte)
}

// outbox is the outlet of a socket. Frames that are sent while a write is under way are written together by the next
// one. The goroutine that finds no write under way writes itself, which saves a switch where there is little to do.
type outbox struct {
	w io.Writer
	// busy tells whether other senders are likely to follow at once.
	busy func() bool

	mu      sync.Mutex
	changed sync.Cond // room in pending, writing over, or broken
	pending []byte
	spare   []byte
	writing bool
	broken  bool
}

func newOutbox(w io.Writer, busy func() bool) *outbox {
	o := &outbox{w: w, busy: busy}
	o.changed.L = &o.mu
	return o
}

func (o *outbox) begin() []byte {
	o.mu.Lock()
	for len(o.pending) >= outboxBytesMax && !o.broken {
		o.changed.Wait()
	}
	return o.pending
}

func (o *outbox) end(frames []byte) {
	o.pending = frames
	if o.broken {
		o.pending = nil
	}
	if o.writing || o.broken {
		o.mu.Unlock()
		return
	}
	o.writing = true
	if o.busy() {
		// Handlers that are about to answer do so first, and share one write.
		o.mu.Unlock()
		runtime.Gosched()
		o.mu.Lock()
	}
	if o.writeOnce() {
		o.mu.Unlock()
		// More came meanwhile. It is not this sender's: another goroutine writes it, so that nobody is kept by others.
		go o.writeRest()
		return
	}
	o.mu.Unlock()
}

func (o *outbox) writeRest() {
	o.mu.Lock()
	for o.writeOnce() {
	}
	o.mu.Unlock()
}

// writeOnce writes what is pending and tells whether more has come; if not, writing is over. The lock is held before
// and after.
func (o *outbox) writeOnce() bool {
	buffer := o.pending
	o.pending, o.spare = o.spare[:0], nil
	o.mu.Unlock()
	_, err := o.w.Write(buffer)
	o.mu.Lock()
	if cap(buffer) <= outboxKeepBytesMax {
		o.spare = buffer
	}
	if err != nil {
		// The host is gone; the reader sees that too and ends the process.
		o.broken = true
		o.pending = nil
	}
	o.writing = len(o.pending) > 0
	o.changed.Broadcast()
	return o.writing
}

// flush waits until all that was sent is written.
func (o *outbox) flush() {
	o.mu.Lock()
	for o.writing && !o.broken {
		o.changed.Wait()
	}
	o.mu.Unlock()
}
