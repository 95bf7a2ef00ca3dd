package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// reader takes fields off the front of a payload. After the first failure every field is empty and err tells which
// field it was.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) bytes(n int, field string) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.rest) {
		r.err = fmt.Errorf("payload ends inside `%s`", field)
		return nil
	}
	head := r.rest[:n:n]
	r.rest = r.rest[n:]
	return head
}

func (r *reader) u8(field string) uint8 {
	if b := r.bytes(1, field); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16(field string) uint16 {
	if b := r.bytes(2, field); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32(field string) uint32 {
	if b := r.bytes(4, field); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64(field string) uint64 {
	if b := r.bytes(8, field); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) longBytes(field string) []byte {
	length := r.u32(field)
	if uint64(length) > uint64(len(r.rest)) {
		// Compared before the conversion, which could overflow where int has 32 bits.
		r.fail("payload ends inside `%s`", field)
		return nil
	}
	return r.bytes(int(length), field)
}

func (r *reader) shortText(field string) string {
	return r.text(r.bytes(int(r.u16(field)), field), field)
}

func (r *reader) longText(field string) string { return r.text(r.longBytes(field), field) }

func (r *reader) text(b []byte, field string) string {
	if !utf8.Valid(b) {
		r.fail("`%s` is not UTF-8", field)
		return ""
	}
	return string(b)
}

func (r *reader) fail(format, field string) {
	if r.err == nil {
		r.err = fmt.Errorf(format, field)
	}
}

// end fails where bytes are left.
func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("bytes follow the last field of the payload")
	}
	return r.err
}

// appendShortText appends a text, cut at a character boundary where it is longer than its length field can tell.
func appendShortText(dst []byte, text string) []byte {
	text = Cut(text, math.MaxUint16)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(text)))
	return append(dst, text...)
}

func appendLongText(dst []byte, text string) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(text)))
	return append(dst, text...)
}

// Cut shortens text to at most bytesMax bytes without breaking a character.
func Cut(text string, bytesMax int) string {
	if len(text) <= bytesMax {
		return text
	}
	for bytesMax > 0 && !utf8.RuneStart(text[bytesMax]) {
		bytesMax--
	}
	return text[:bytesMax]
}
