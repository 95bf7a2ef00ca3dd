package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// Pair is one header: a lower-case name and a value of any bytes.
type Pair struct{ Name, Value string }

// Invoke is one request.
type Invoke struct {
	// TimeoutMicros is the time left when the frame was written, in microseconds; 0 where there is no limit.
	TimeoutMicros uint64
	ExecutionID   string
	FunctionID    string
	// OrganizationID is the app's organisation.
	OrganizationID string
	Method         string
	// Path is percent-encoded and begins with `/`.
	Path string
	// Query has no `?`.
	Query string
	// Headers is the encoded header block, for EachHeader.
	Headers string
	// Body shares its bytes with the payload it was decoded from.
	Body []byte
}

// DecodeInvoke reads the payload of INVOKE.
func DecodeInvoke(payload []byte) (Invoke, error) {
	r := reader{rest: payload}
	invoke := Invoke{TimeoutMicros: r.u64("timeout")}
	// The six texts and the header block are copied together: one allocation, and no text keeps the body alive.
	var ends [6]int
	names := [6]string{"execution id", "function id", "organization id", "method", "path", "query"}
	for i, name := range names {
		if !utf8.Valid(r.bytes(int(r.u16(name)), name)) {
			r.fail("`%s` is not UTF-8", name)
		}
		ends[i] = len(payload) - len(r.rest)
	}
	r.longBytes("headers")
	if r.err != nil {
		return Invoke{}, r.err
	}
	const textsStart = 8
	headersEnd := len(payload) - len(r.rest)
	head := string(payload[textsStart:headersEnd])
	start := 0
	for i, text := range [6]*string{
		&invoke.ExecutionID, &invoke.FunctionID, &invoke.OrganizationID, &invoke.Method, &invoke.Path, &invoke.Query,
	} {
		end := ends[i] - textsStart
		*text = head[start+2 : end]
		start = end
	}
	invoke.Headers = head[start+4:]
	invoke.Body = r.rest[:len(r.rest):len(r.rest)]
	return invoke, nil
}

// AppendInvoke appends INVOKE with the headers given instead of invoke.Headers.
func AppendInvoke(dst []byte, id uint64, invoke Invoke, headers []Pair) []byte {
	dst, start := begin(dst, KindInvoke, true, id)
	dst = binary.LittleEndian.AppendUint64(dst, invoke.TimeoutMicros)
	for _, text := range []string{
		invoke.ExecutionID, invoke.FunctionID, invoke.OrganizationID, invoke.Method, invoke.Path, invoke.Query,
	} {
		dst = appendShortText(dst, text)
	}
	dst = appendHeaders(dst, headers)
	return finish(append(dst, invoke.Body...), start)
}

// EachHeader calls visit for every header of an encoded block, in its order.
func EachHeader(block string, visit func(name, value string)) error {
	for len(block) > 0 {
		var name, value string
		var ok bool
		if name, block, ok = cutField(block); !ok {
			return fmt.Errorf("payload ends inside `header name`")
		}
		if !utf8.ValidString(name) {
			return fmt.Errorf("`header name` is not UTF-8")
		}
		if value, block, ok = cutField(block); !ok {
			return fmt.Errorf("payload ends inside `header value`")
		}
		visit(name, value)
	}
	return nil
}

// cutField takes a field with a u16 length off the front of a block.
func cutField(block string) (field, rest string, ok bool) {
	if len(block) < 2 {
		return "", "", false
	}
	length := int(block[0]) | int(block[1])<<8
	if len(block)-2 < length {
		return "", "", false
	}
	return block[2 : 2+length], block[2+length:], true
}

// appendHeaders appends a header block with its length. A name or value that is longer than its length field can tell
// is left out: HTTP limits the whole block far below that.
func appendHeaders(dst []byte, headers []Pair) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, header := range headers {
		if len(header.Name) > math.MaxUint16 || len(header.Value) > math.MaxUint16 {
			continue
		}
		dst = appendShortText(dst, header.Name)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(header.Value)))
		dst = append(dst, header.Value...)
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}
