package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"testing"
)

type goldenFrame struct {
	Name   string
	Kind   string
	Number uint8
	Flags  uint8
	ID     string
	Hex    string
	Fields map[string]any
}

func loadGolden(t *testing.T) []goldenFrame {
	t.Helper()
	text, err := os.ReadFile("../../../../core/abi/golden/frames.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Version int `json:"abi_version"`
		Frames  []goldenFrame
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if file.Version != Version || len(file.Frames) < 18 {
		t.Fatalf("version %d with %d frames", file.Version, len(file.Frames))
	}
	return file.Frames
}

// Every golden frame decodes to the fields it lists, and those fields encode to its bytes.
func TestGoldenFrames(t *testing.T) {
	for _, golden := range loadGolden(t) {
		t.Run(golden.Name, func(t *testing.T) {
			want, err := hex.DecodeString(golden.Hex)
			if err != nil {
				t.Fatal(err)
			}
			header, err := DecodeHeader(want, FrameBytesMax)
			if err != nil {
				t.Fatal(err)
			}
			id, _ := strconv.ParseUint(golden.ID, 10, 64)
			if header.ID != id || uint8(header.Kind) != golden.Number || header.Flags != golden.Flags {
				t.Fatalf("header is %+v", header)
			}
			payload := want[HeaderBytes:]
			if int(header.Length) != len(payload) {
				t.Fatalf("length %d, payload %d", header.Length, len(payload))
			}
			fields, encoded, err := recode(header, payload)
			if err != nil {
				t.Fatal(err)
			}
			if fields != nil && !reflect.DeepEqual(fields, golden.Fields) {
				t.Errorf("decoded\n%v\nwant\n%v", fields, golden.Fields)
			}
			if fields != nil && !bytes.Equal(encoded, want) {
				t.Errorf("encoded\n%x\nwant\n%x", encoded, want)
			}
			if fields == nil && header.Kind < KindFork {
				t.Errorf("%s is not covered", golden.Kind)
			}
		})
	}
}

// recode gives the fields in the words of the golden file and the frame encoded from them; nothing for zygote frames,
// which a Go worker never exchanges.
func recode(header Header, payload []byte) (map[string]any, []byte, error) {
	end, id := header.End(), header.ID
	switch header.Kind {
	case KindHello:
		hello, err := DecodeHello(payload)
		return map[string]any{
			"abi_version": float64(hello.Version), "frame_bytes_max": float64(hello.FrameBytesMax),
			"stream_window_bytes": float64(hello.WindowBytes), "max_concurrency": float64(hello.MaxConcurrency),
		}, AppendHello(nil, hello), err
	case KindReady:
		ready, err := DecodeReady(payload)
		return map[string]any{
			"abi_version": float64(ready.Version), "max_concurrency": float64(ready.MaxConcurrency),
			"zygote": ready.Zygote, "sdk": ready.SDK,
		}, AppendReady(nil, ready), err
	case KindInvoke:
		invoke, err := DecodeInvoke(payload)
		if err != nil {
			return nil, nil, err
		}
		var headers []Pair
		err = EachHeader(invoke.Headers, func(name, value string) { headers = append(headers, Pair{name, value}) })
		return map[string]any{
			"timeout_us": float64(invoke.TimeoutMicros), "execution_id": invoke.ExecutionID,
			"function_id": invoke.FunctionID, "organization_id": invoke.OrganizationID, "method": invoke.Method,
			"path": invoke.Path, "query": invoke.Query, "headers": goldenHeaders(headers),
			"body": fmt.Sprintf("%x", invoke.Body),
		}, AppendInvoke(nil, id, invoke, headers), err
	case KindCancel:
		reason, err := DecodeCancel(payload)
		return map[string]any{"reason": float64(reason)}, AppendCancel(nil, id, reason), err
	case KindCredit:
		credit, err := DecodeCredit(payload)
		return map[string]any{"bytes": float64(credit)}, AppendCredit(nil, id, credit), err
	case KindDrain, KindBye:
		return map[string]any{}, AppendEmpty(nil, header.Kind, id), nil
	case KindResult:
		result, err := DecodeResult(payload)
		return map[string]any{
			"status": float64(result.Status), "headers": goldenHeaders(result.Headers),
			"body": fmt.Sprintf("%x", result.Body),
		}, AppendResult(nil, id, end, result), err
	case KindChunk:
		return map[string]any{"body": fmt.Sprintf("%x", payload)}, AppendChunk(nil, id, end, payload), nil
	case KindError, KindInitError:
		failure, err := DecodeFailure(payload)
		return map[string]any{
			"type": failure.Type, "message": failure.Message, "trace": failure.Trace,
		}, AppendFailure(nil, header.Kind, id, failure), err
	case KindLog:
		log, err := DecodeLog(payload)
		return map[string]any{
			"level": float64(log.Level), "message": log.Message, "fields": log.Fields,
		}, AppendLog(nil, id, log), err
	}
	return nil, nil, nil
}

func goldenHeaders(headers []Pair) []any {
	list := []any{}
	for _, header := range headers {
		list = append(list, []any{header.Name, fmt.Sprintf("%x", header.Value)})
	}
	return list
}

// No prefix of a golden payload decodes, except where the cut falls into a body that runs to the end of the frame, and
// nothing panics.
func TestTruncatedPayloads(t *testing.T) {
	for _, golden := range loadGolden(t) {
		frame, _ := hex.DecodeString(golden.Hex)
		header, err := DecodeHeader(frame, FrameBytesMax)
		if err != nil {
			t.Fatal(err)
		}
		payload := frame[HeaderBytes:]
		for cut := range payload {
			_, _, err := recode(header, payload[:cut])
			switch header.Kind {
			case KindHello, KindReady, KindCancel, KindCredit, KindError, KindInitError:
				if err == nil {
					t.Errorf("%s cut to %d bytes decodes", golden.Name, cut)
				}
			}
		}
	}
}

func TestHeaderFaults(t *testing.T) {
	good := AppendEmpty(nil, KindDrain, 1)
	for name, change := range map[string]func([]byte){
		"kind 0":         func(b []byte) { b[4] = 0 },
		"kind 6":         func(b []byte) { b[4] = 6 },
		"kind 23":        func(b []byte) { b[4] = 23 },
		"kind 255":       func(b []byte) { b[4] = 255 },
		"flag":           func(b []byte) { b[5] = 2 },
		"reserved low":   func(b []byte) { b[6] = 1 },
		"reserved high":  func(b []byte) { b[7] = 1 },
		"length too big": func(b []byte) { b[3] = 0xff },
	} {
		bad := bytes.Clone(good)
		change(bad)
		if _, err := DecodeHeader(bad, FrameBytesMax); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := DecodeHeader(good[:15], FrameBytesMax); err == nil {
		t.Error("15 bytes are accepted")
	}
}

func TestTextsAreChecked(t *testing.T) {
	frame := AppendInvoke(nil, 1, Invoke{Method: "G\xff"}, nil)
	if _, err := DecodeInvoke(frame[HeaderBytes:]); err == nil {
		t.Error("a method that is not UTF-8 is accepted")
	}
	if got := Cut("aß", 2); got != "a" {
		t.Errorf("cut inside a character: %q", got)
	}
	if err := EachHeader("\x01\x00a\x05\x00bc", func(string, string) {}); err == nil {
		t.Error("a truncated header block is accepted")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint8(KindInvoke), AppendInvoke(nil, 1, Invoke{Method: "GET"}, []Pair{{"a", "b"}})[HeaderBytes:])
	f.Fuzz(func(_ *testing.T, kind uint8, payload []byte) {
		_, _, _ = recode(Header{Kind: Kind(kind)}, payload)
	})
}
