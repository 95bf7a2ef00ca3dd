package ignite_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"ignite"
)

// TestMain lets the test binary play the worker.
func TestMain(m *testing.M) {
	switch os.Getenv(workerEnv) {
	case "":
		os.Exit(m.Run())
	case "nil":
		ignite.Start(nil)
	default:
		ignite.Start(testHandler)
	}
}

type notFound struct{ name string }

func (n *notFound) Error() string { return n.name + " is not there" }

var released = make(chan struct{})

// testHandler does what the path says.
func testHandler(payload []byte, ctx *ignite.Context) ([]byte, error) {
	switch ctx.Path {
	case "/echo":
		return payload, nil
	case "/context":
		_, limited := ctx.Deadline()
		return fmt.Appendf(nil, "%s %s %s %s %s %s %q %q %v %t", ctx.ExecutionID, ctx.FunctionID, ctx.OrganizationID,
			ctx.Method, ctx.Path, ctx.Query, ctx.QueryValues()["a"], ctx.Headers.Values("x-two"), ctx.Headers["Host"],
			limited), nil
	case "/status":
		ctx.SetStatus(201)
		ctx.SetHeader("Content-Type", "text/plain")
		ctx.SetHeader("content-type", "application/json")
		ctx.AddHeader("Set-Cookie", "a=1")
		ctx.AddHeader("Set-Cookie", "b=2")
		return []byte("{}"), nil
	case "/no-content":
		ctx.SetStatus(204)
		return nil, nil
	case "/bad-status":
		ctx.SetStatus(100)
	case "/error":
		return nil, errors.New("größer als 3\xff")
	case "/typed-error":
		return nil, fmt.Errorf("while looking: %w", &notFound{"it"})
	case "/library-error":
		_, err := os.Open("/does/not/exist")
		return nil, err
	case "/panic":
		deeper(nil)
	case "/goexit":
		runtime.Goexit()
	case "/env":
		_, set := os.LookupEnv("IGNITE_WORKER_FD")
		return fmt.Append(nil, set), nil
	case "/wait": // until /release, for concurrency
		<-released
		return payload, nil
	case "/release":
		close(released)
		return nil, nil
	case "/until-cancelled":
		ctx.Log().Info("waiting")
		<-ctx.Context().Done()
		return nil, fmt.Errorf("gave up: %w", context.Cause(ctx.Context()))
	case "/ignores-cancel":
		ctx.Log().Info("waiting")
		<-ctx.Context().Done()
		return []byte("done anyway"), nil
	case "/log":
		log := ctx.Log().With("user", 7)
		log.Debug("two\nlines\xff")
		log.WithGroup("http").Warn("grouped", "time", 1, slog.Group("in", "msg", "x"))
		log.Log(context.Background(), slog.LevelDebug-4, "fine")
		ctx.Log().Error("bare")
		ctx.Log().Error(strings.Repeat("ß", 64<<10), "big", strings.Repeat("x", 70<<10))
		return nil, nil
	case "/log-later":
		go func() {
			<-ctx.Context().Done()
			ctx.Log().Info("later")
		}()
		return nil, nil
	case "/store":
		store := ctx.TempStore()
		keys := store.List("")
		err := store.Put("a", payload)
		return fmt.Append(nil, len(keys), err), nil
	case "/stream":
		return nil, stream(ctx, payload)
	case "/stream-empty":
		ctx.SetStatus(202)
		return nil, ctx.Stream().Flush()
	case "/stream-unused":
		ctx.Stream()
		return nil, nil
	case "/stream-error":
		_, _ = ctx.Stream().WriteString("part")
		_ = ctx.Stream().Flush()
		return nil, errors.New("broke off")
	case "/stream-and-body":
		_, _ = ctx.Stream().WriteString("part")
		return []byte("body"), nil
	case "/large":
		return make([]byte, 32<<20), nil
	default:
		return nil, fmt.Errorf("no such case: %w", fs.ErrNotExist)
	}
	return nil, nil
}

// stream sends the payload again and again, 1000 bytes at a time, up to a million bytes.
func stream(ctx *ignite.Context, payload []byte) error {
	ctx.SetHeader("content-type", "text/event-stream")
	out := ctx.Stream()
	for range 1000 {
		if _, err := out.Write(payload); err != nil {
			ctx.Log().Info("stopped", "error", err.Error())
			return err
		}
	}
	return nil
}

func deeper(m map[string]int) {
	time.Now()
	m["write to a nil map"] = 1
}
