package ignite

import (
	"context"
	"errors"
	"math"
	"sync"

	"ignite/internal/wire"
)

const (
	// streamBufferBytes is how much is gathered before it is sent without a Flush.
	streamBufferBytes = 16 << 10
	// streamChunkBytesMax is the largest part sent at once.
	streamChunkBytesMax = 64 << 10
)

// ErrStreamClosed is returned by a [Stream] whose handler has returned.
var ErrStreamClosed = errors.New("ignite: the answer is complete")

// Stream is a body that is sent while the handler runs. Writes are gathered up to 16 KiB; Flush sends at once. Where
// the caller reads slowly, Write and Flush wait, until the execution is cancelled.
type Stream struct {
	c *Context

	mu      sync.Mutex // held over a whole Write, so that parts do not mix
	buffer  []byte
	started bool // status and headers are sent
	closed  bool
	err     error
}

// Stream begins a streamed answer; the handler must return no bytes afterwards. Status and headers are sent with the
// first part, so set them before. Every call gives the same stream.
func (c *Context) Stream() *Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stream == nil {
		c.stream = &Stream{c: c, closed: c.answered}
	}
	return c.stream
}

// Write adds a part to the body.
func (s *Stream) Write(part []byte) (int, error) { return write(s, part) }

// WriteString adds a text to the body.
func (s *Stream) WriteString(part string) (int, error) { return write(s, part) }

func write[T []byte | string](s *Stream, part T) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, ErrStreamClosed
	}
	written := 0
	for {
		take := min(len(part)-written, streamChunkBytesMax-len(s.buffer))
		s.buffer = append(s.buffer, part[written:written+take]...)
		written += take
		if len(s.buffer) >= streamBufferBytes {
			if err := s.send(); err != nil {
				return written, err
			}
		}
		if written == len(part) {
			return written, s.err
		}
	}
}

// Flush sends what was gathered, and the status and headers if nothing was sent so far.
func (s *Stream) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrStreamClosed
	}
	return s.send()
}

// send sends the whole buffer, in as many frames as the credit asks for.
func (s *Stream) send() error {
	rest := s.buffer
	for s.err == nil && (len(rest) > 0 || !s.started) {
		part := rest
		if len(rest) > 0 {
			var room int
			room, s.err = s.c.credit.take(min(len(rest), s.c.limits.frameBytesMax), s.c.Context)
			if s.err != nil {
				break
			}
			part = rest[:room]
		}
		s.put(part)
		rest = rest[len(part):]
	}
	s.buffer = s.buffer[:0]
	return s.err
}

func (s *Stream) put(part []byte) {
	c := s.c
	frames := c.out.begin()
	if !s.started {
		s.started = true
		// Alone: a head of any length leaves the part its whole frame.
		frames = wire.AppendResult(frames, c.id, false, c.answer.head())
	}
	if len(part) > 0 {
		frames = wire.AppendChunk(frames, c.id, false, part)
	}
	c.out.end(frames)
}

// close ends the stream and, where the handler succeeded, gives the part that belongs into the last frame, whose
// credit is taken already.
func (s *Stream) close(succeeded bool) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if !succeeded || s.err != nil {
		return nil, s.err
	}
	if len(s.buffer) == 0 || s.c.credit.tryTake(len(s.buffer)) {
		return s.buffer, nil
	}
	return nil, s.send()
}

// credit is how many bytes of a streamed answer may still be sent.
type credit struct {
	mu   sync.Mutex
	left int64
	wake chan struct{} // made by who waits, closed by grant
}

func (k *credit) grant(bytes int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left = min(k.left, math.MaxInt64-bytes) + bytes
	if k.wake != nil {
		close(k.wake)
		k.wake = nil
	}
}

// tryTake takes exactly the number of bytes if there is credit for them.
func (k *credit) tryTake(bytes int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.left < int64(bytes) {
		return false
	}
	k.left -= int64(bytes)
	return true
}

// take waits for credit and takes at most the number of bytes. It fails when the context is cancelled, also where there
// is credit: what nobody will read need not be made.
func (k *credit) take(bytes int, execution func() context.Context) (int, error) {
	ctx := execution()
	for {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		k.mu.Lock()
		if k.left > 0 {
			taken := min(int64(bytes), k.left)
			k.left -= taken
			k.mu.Unlock()
			return int(taken), nil
		}
		if k.wake == nil {
			k.wake = make(chan struct{})
		}
		wake := k.wake
		k.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
}
