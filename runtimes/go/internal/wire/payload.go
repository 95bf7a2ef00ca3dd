package wire

import (
	"encoding/binary"
	"fmt"
)

// Hello is what the host speaks and accepts.
type Hello struct {
	Version uint16
	// FrameBytesMax is the longest payload the host accepts, in bytes.
	FrameBytesMax uint32
	// WindowBytes is how much of one streamed answer may be under way before CREDIT.
	WindowBytes uint32
	// MaxConcurrency is the most executions the host will have in flight.
	MaxConcurrency uint32
}

// AppendHello appends HELLO.
func AppendHello(dst []byte, hello Hello) []byte {
	dst, start := begin(dst, KindHello, false, 0)
	dst = binary.LittleEndian.AppendUint16(dst, hello.Version)
	dst = binary.LittleEndian.AppendUint32(dst, hello.FrameBytesMax)
	dst = binary.LittleEndian.AppendUint32(dst, hello.WindowBytes)
	dst = binary.LittleEndian.AppendUint32(dst, hello.MaxConcurrency)
	return finish(dst, start)
}

// DecodeHello reads the payload of HELLO, which a later version may have made longer.
func DecodeHello(payload []byte) (Hello, error) {
	r := reader{rest: payload}
	hello := Hello{
		Version:        r.u16("abi version"),
		FrameBytesMax:  r.u32("frame bytes"),
		WindowBytes:    r.u32("window bytes"),
		MaxConcurrency: r.u32("max concurrency"),
	}
	return hello, r.err
}

// Ready is what a worker has loaded.
type Ready struct {
	Version uint16
	// MaxConcurrency is how many executions the worker can run at once, at least 1.
	MaxConcurrency uint32
	Zygote         bool
	// SDK is the name and version of the SDK.
	SDK string
}

// AppendReady appends READY.
func AppendReady(dst []byte, ready Ready) []byte {
	dst, start := begin(dst, KindReady, false, 0)
	dst = binary.LittleEndian.AppendUint16(dst, ready.Version)
	dst = binary.LittleEndian.AppendUint32(dst, ready.MaxConcurrency)
	zygote := byte(0)
	if ready.Zygote {
		zygote = 1
	}
	return finish(appendShortText(append(dst, zygote), ready.SDK), start)
}

// DecodeReady reads the payload of READY, which a later version may have made longer.
func DecodeReady(payload []byte) (Ready, error) {
	r := reader{rest: payload}
	ready := Ready{Version: r.u16("abi version"), MaxConcurrency: r.u32("max concurrency")}
	zygote := r.u8("zygote")
	ready.Zygote = zygote == 1
	ready.SDK = r.shortText("sdk")
	if r.err == nil && (zygote > 1 || ready.MaxConcurrency == 0) {
		r.err = fmt.Errorf("a field of READY is out of range")
	}
	return ready, r.err
}

// CancelReason is why an execution is cancelled.
type CancelReason uint8

// The reasons of CANCEL.
const (
	CancelDeadline   CancelReason = 1
	CancelDisconnect CancelReason = 2
	CancelShutdown   CancelReason = 3
)

// AppendCancel appends CANCEL.
func AppendCancel(dst []byte, id uint64, reason CancelReason) []byte {
	dst, start := begin(dst, KindCancel, false, id)
	return finish(append(dst, byte(reason)), start)
}

// DecodeCancel reads the payload of CANCEL.
func DecodeCancel(payload []byte) (CancelReason, error) {
	r := reader{rest: payload}
	reason := CancelReason(r.u8("cancel reason"))
	if r.err == nil && (reason < CancelDeadline || reason > CancelShutdown) {
		r.err = fmt.Errorf("`cancel reason` is out of range")
	}
	return reason, r.end()
}

// AppendCredit appends CREDIT.
func AppendCredit(dst []byte, id uint64, bytes uint32) []byte {
	dst, start := begin(dst, KindCredit, false, id)
	return finish(binary.LittleEndian.AppendUint32(dst, bytes), start)
}

// DecodeCredit reads the payload of CREDIT: further bytes that may be sent.
func DecodeCredit(payload []byte) (uint32, error) {
	r := reader{rest: payload}
	bytes := r.u32("credit")
	return bytes, r.end()
}

// Result is a status, headers and the body or its first part.
type Result struct {
	// Status is within 200 and 599.
	Status  int
	Headers []Pair
	Body    []byte
}

// AppendResult appends RESULT; end tells whether the body is complete.
func AppendResult(dst []byte, id uint64, end bool, result Result) []byte {
	dst, start := begin(dst, KindResult, end, id)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(result.Status))
	dst = appendHeaders(dst, result.Headers)
	return finish(append(dst, result.Body...), start)
}

// DecodeResult reads the payload of RESULT.
func DecodeResult(payload []byte) (Result, error) {
	r := reader{rest: payload}
	result := Result{Status: int(r.u16("status"))}
	block := string(r.longBytes("headers"))
	result.Body = r.rest
	if r.err != nil {
		return Result{}, r.err
	}
	if result.Status < 200 || result.Status > 599 {
		return Result{}, fmt.Errorf("`status` is out of range")
	}
	err := EachHeader(block, func(name, value string) {
		result.Headers = append(result.Headers, Pair{name, value})
	})
	return result, err
}

// AppendChunk appends CHUNK, the last one if end is set.
func AppendChunk(dst []byte, id uint64, end bool, body []byte) []byte {
	dst, start := begin(dst, KindChunk, end, id)
	return finish(append(dst, body...), start)
}

// Failure is what ERROR and INIT_ERROR carry.
type Failure struct {
	// Type is the error's class.
	Type    string
	Message string
	// Trace is empty where there is none.
	Trace string
}

// AppendFailure appends ERROR or INIT_ERROR. The texts must be UTF-8.
func AppendFailure(dst []byte, kind Kind, id uint64, failure Failure) []byte {
	dst, start := begin(dst, kind, false, id)
	dst = appendShortText(dst, failure.Type)
	dst = appendLongText(dst, failure.Message)
	return finish(appendLongText(dst, failure.Trace), start)
}

// DecodeFailure reads the payload of ERROR or INIT_ERROR.
func DecodeFailure(payload []byte) (Failure, error) {
	r := reader{rest: payload}
	failure := Failure{
		Type:    r.shortText("error type"),
		Message: r.longText("error message"),
		Trace:   r.longText("error trace"),
	}
	return failure, r.end()
}

// Log is one log record.
type Log struct {
	// Level is 0 trace, 1 debug, 2 info, 3 warn, 4 error.
	Level   uint8
	Message string
	// Fields is a JSON object, or empty.
	Fields string
}

// AppendLog appends LOG. The texts must be UTF-8.
func AppendLog(dst []byte, id uint64, log Log) []byte {
	dst, start := begin(dst, KindLog, false, id)
	dst = appendLongText(append(dst, log.Level), log.Message)
	return finish(append(dst, log.Fields...), start)
}

// DecodeLog reads the payload of LOG.
func DecodeLog(payload []byte) (Log, error) {
	r := reader{rest: payload}
	log := Log{Level: r.u8("log level"), Message: r.longText("log message")}
	log.Fields = r.text(r.rest, "log fields")
	if r.err == nil && log.Level > 4 {
		r.err = fmt.Errorf("`log level` is out of range")
	}
	return log, r.err
}
