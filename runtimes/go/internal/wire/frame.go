// Package wire is the codec of the worker frames, version 1, as core/abi/FRAMES.md describes them. It knows bytes and
// their meaning and does no IO. Both directions are here, because tests play the host.
package wire

import (
	"encoding/binary"
	"fmt"
)

// Version is the protocol version this codec speaks.
const Version = 1

const (
	// HeaderBytes is the size of the header in front of every payload.
	HeaderBytes = 16
	// FrameBytesMax is the longest payload a worker accepts, in bytes.
	FrameBytesMax = 32 << 20
	// FlagEnd is the flag of a frame that ends the body.
	FlagEnd = 1
)

// Kind is what a frame is; the number is its byte on the wire.
type Kind uint8

// The kinds of frames. Those below 16 and KindFork come from the host, the others from the worker.
const (
	KindHello     Kind = 1
	KindInvoke    Kind = 2
	KindCancel    Kind = 3
	KindCredit    Kind = 4
	KindDrain     Kind = 5
	KindReady     Kind = 16
	KindInitError Kind = 17
	KindResult    Kind = 18
	KindChunk     Kind = 19
	KindError     Kind = 20
	KindLog       Kind = 21
	KindBye       Kind = 22
	KindFork      Kind = 32
	KindForked    Kind = 33
	KindExited    Kind = 34
)

func (k Kind) known() bool {
	return k >= KindHello && k <= KindDrain || k >= KindReady && k <= KindBye || k >= KindFork && k <= KindExited
}

// Header is the fixed part of a frame.
type Header struct {
	// Length is the number of payload bytes.
	Length uint32
	Kind   Kind
	Flags  uint8
	// ID is the execution the frame belongs to, 0 where it belongs to none.
	ID uint64
}

// End tells whether the frame ends its body.
func (h Header) End() bool { return h.Flags&FlagEnd != 0 }

// DecodeHeader reads a header. It fails where the kind or a flag is unknown, a reserved byte is set, or the payload
// would be longer than lengthMax.
func DecodeHeader(b []byte, lengthMax uint32) (Header, error) {
	if len(b) < HeaderBytes {
		return Header{}, fmt.Errorf("frame header ends after %d bytes", len(b))
	}
	h := Header{
		Length: binary.LittleEndian.Uint32(b),
		Kind:   Kind(b[4]),
		Flags:  b[5],
		ID:     binary.LittleEndian.Uint64(b[8:]),
	}
	switch {
	case !h.Kind.known():
		return h, fmt.Errorf("unknown frame kind %d", h.Kind)
	case h.Flags&^FlagEnd != 0:
		return h, fmt.Errorf("unknown frame flags %#08b", h.Flags)
	case b[6] != 0 || b[7] != 0:
		return h, fmt.Errorf("reserved bytes of a frame header are not zero")
	case h.Length > lengthMax:
		return h, fmt.Errorf("frame of %d bytes exceeds the limit of %d bytes", h.Length, lengthMax)
	}
	return h, nil
}

// begin appends a header whose length is filled in by finish.
func begin(dst []byte, kind Kind, end bool, id uint64) ([]byte, int) {
	start := len(dst)
	flags := byte(0)
	if end {
		flags = FlagEnd
	}
	dst = append(dst, 0, 0, 0, 0, byte(kind), flags, 0, 0)
	return binary.LittleEndian.AppendUint64(dst, id), start
}

func finish(dst []byte, start int) []byte {
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-HeaderBytes))
	return dst
}

// AppendEmpty appends one of the frames without payload.
func AppendEmpty(dst []byte, kind Kind, id uint64) []byte {
	dst, start := begin(dst, kind, false, id)
	return finish(dst, start)
}
