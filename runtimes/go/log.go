package ignite

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"ignite/internal/wire"
)

// logTextBytesMax bounds the message of a record and, on its own, its fields.
const logTextBytesMax = 64 << 10

// logHandler sends records as LOG frames. The fields are slog's own JSON: what it prints before them is a constant,
// because the record it is given has no time, no message and one level.
type logHandler struct {
	c    *Context
	json slog.Handler
	sink *logSink
}

// logSink takes one record at a time from the JSON handlers that share it.
type logSink struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

const logPrefix = `{"level":"INFO","msg":""`

func newLogHandler(c *Context) *logHandler {
	sink := new(logSink)
	everything := slog.HandlerOptions{Level: slog.Level(-1 << 16)}
	return &logHandler{c: c, json: slog.NewJSONHandler(&sink.buffer, &everything), sink: sink}
}

// Enabled is always true: the platform chooses what it keeps.
func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{c: h.c, json: h.json.WithAttrs(attrs), sink: h.sink}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{c: h.c, json: h.json.WithGroup(name), sink: h.sink}
}

func (h *logHandler) Handle(ctx context.Context, record slog.Record) error {
	log := wire.Log{
		Level:   logLevel(record.Level),
		Message: strings.ToValidUTF8(wire.Cut(record.Message, logTextBytesMax), "\uFFFD"),
	}
	fields := slog.NewRecord(time.Time{}, slog.LevelInfo, "", 0)
	record.Attrs(func(attr slog.Attr) bool {
		fields.AddAttrs(attr)
		return true
	})
	text, err := h.formatFields(ctx, fields)
	if err != nil {
		return err
	}
	log.Fields = text
	id := h.c.id
	if h.c.isAnswered() {
		id = 0
	}
	h.c.out.end(wire.AppendLog(h.c.out.begin(), id, log))
	return nil
}

func (h *logHandler) formatFields(ctx context.Context, fields slog.Record) (string, error) {
	h.sink.mu.Lock()
	defer h.sink.mu.Unlock()
	h.sink.buffer.Reset()
	if err := h.json.Handle(ctx, fields); err != nil {
		return "", err
	}
	// Either `}` or `,"key":…}` is left.
	rest := strings.TrimSuffix(strings.TrimPrefix(h.sink.buffer.String(), logPrefix), "\n")
	switch {
	case rest == "}":
		return "", nil
	case len(rest) > logTextBytesMax:
		return `{"fields_dropped":"longer than 65536 bytes"}`, nil
	default:
		return "{" + strings.ToValidUTF8(strings.TrimPrefix(rest, ","), "\uFFFD"), nil
	}
}

func logLevel(level slog.Level) uint8 {
	switch {
	case level < slog.LevelDebug:
		return 0
	case level < slog.LevelInfo:
		return 1
	case level < slog.LevelWarn:
		return 2
	case level < slog.LevelError:
		return 3
	default:
		return 4
	}
}
