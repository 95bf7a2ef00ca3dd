// Answers every case by path; see tests/cases/behaviour.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"ignite"
)

var cases = map[string]ignite.Handler{
	"echo":         echo,
	"text":         text,
	"json":         jsonValues,
	"status":       status,
	"raise":        raise,
	"panic":        panicking,
	"exit":         exit,
	"hang":         hang,
	"spin":         spin,
	"stream":       stream,
	"stream-fail":  streamFail,
	"stream-large": streamLarge,
	"context":      fields,
	"env":          env,
	"scratch":      scratch,
	"sleep":        sleep,
	"log":          log,
}

func handler(payload []byte, ctx *ignite.Context) ([]byte, error) {
	name := strings.Split(ctx.Path, "/")[1]
	return cases[name](payload, ctx)
}

func echo(payload []byte, ctx *ignite.Context) ([]byte, error) {
	return payload, nil
}

func text(payload []byte, ctx *ignite.Context) ([]byte, error) {
	ctx.SetHeader("content-type", "text/plain; charset=utf-8")
	return append(payload, '!'), nil
}

func jsonValues(payload []byte, ctx *ignite.Context) ([]byte, error) {
	var asked struct {
		Numbers []float64 `json:"numbers"`
		Name    string    `json:"name"`
	}
	if err := json.Unmarshal(payload, &asked); err != nil {
		return nil, err
	}
	sum := 0.0
	for _, number := range asked.Numbers {
		sum += number
	}
	return answer(ctx, map[string]any{
		"sum": sum, "name": asked.Name, "list": []any{true, "x", map[string]any{"deep": "ü"}},
	})
}

func answer(ctx *ignite.Context, value any) ([]byte, error) {
	ctx.SetHeader("content-type", "application/json")
	return json.Marshal(value)
}

func status(payload []byte, ctx *ignite.Context) ([]byte, error) {
	code, err := strconv.Atoi(ctx.QueryValues().Get("code"))
	if err != nil {
		return nil, err
	}
	ctx.SetStatus(code)
	ctx.SetHeader("x-case", "yes")
	ctx.AddHeader("set-cookie", "a=1")
	ctx.AddHeader("set-cookie", "b=2")
	ctx.SetHeader("content-type", "text/x-case")
	if code == 204 {
		return nil, nil
	}
	return []byte("made"), nil
}

func raise(payload []byte, ctx *ignite.Context) ([]byte, error) {
	return nil, errors.New("no such colour: mauve")
}

func panicking(payload []byte, ctx *ignite.Context) ([]byte, error) {
	panic("out of paint")
}

func exit(payload []byte, ctx *ignite.Context) ([]byte, error) {
	os.Exit(3)
	return nil, nil
}

func hang(payload []byte, ctx *ignite.Context) ([]byte, error) {
	for {
		time.Sleep(time.Hour)
	}
}

func spin(payload []byte, ctx *ignite.Context) ([]byte, error) {
	for {
	}
}

func stream(payload []byte, ctx *ignite.Context) ([]byte, error) {
	ctx.SetHeader("content-type", "text/plain")
	body := ctx.Stream()
	for index := range 5 {
		fmt.Fprintf(body, "part %d\n", index)
		if err := body.Flush(); err != nil {
			return nil, err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, nil
}

func streamFail(payload []byte, ctx *ignite.Context) ([]byte, error) {
	body := ctx.Stream()
	fmt.Fprint(body, "part 0\n")
	if err := body.Flush(); err != nil {
		return nil, err
	}
	time.Sleep(50 * time.Millisecond)
	return nil, errors.New("no more parts")
}

func streamLarge(payload []byte, ctx *ignite.Context) ([]byte, error) {
	left, err := strconv.Atoi(ctx.QueryValues().Get("bytes"))
	if err != nil {
		return nil, err
	}
	ctx.SetHeader("content-type", "text/plain")
	body := ctx.Stream()
	part := []byte(strings.Repeat("x", 65536))
	for ; left > 0; left -= len(part) {
		if _, err := body.Write(part); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func fields(payload []byte, ctx *ignite.Context) ([]byte, error) {
	deadline, limited := ctx.Deadline()
	left := time.Until(deadline)
	return answer(ctx, map[string]any{
		"execution_id":     ctx.ExecutionID,
		"function_id":      ctx.FunctionID,
		"organization_id":  ctx.OrganizationID,
		"method":           ctx.Method,
		"path":             ctx.Path,
		"query_b":          ctx.QueryValues().Get("b"),
		"header":           ctx.Headers.Get("x-case"),
		"deadline_is_near": limited && left > 0 && left <= 2*time.Second,
	})
}

func env(payload []byte, ctx *ignite.Context) ([]byte, error) {
	return []byte(os.Getenv(ctx.QueryValues().Get("name"))), nil
}

func scratch(payload []byte, ctx *ignite.Context) ([]byte, error) {
	store := ctx.TempStore()
	before := append([]string{}, store.List("")...)
	if err := store.Put("first", payload); err != nil {
		return nil, err
	}
	if err := store.Put("second", []byte("2")); err != nil {
		return nil, err
	}
	got, _ := store.Get("first")
	store.Delete("first")
	return answer(ctx, map[string]any{"before": before, "got": string(got), "after_delete": store.List("")})
}

func sleep(payload []byte, ctx *ignite.Context) ([]byte, error) {
	milliseconds := ctx.QueryValues().Get("ms")
	wait, err := time.ParseDuration(milliseconds + "ms")
	if err != nil {
		return nil, err
	}
	time.Sleep(wait)
	return []byte(milliseconds), nil
}

func log(payload []byte, ctx *ignite.Context) ([]byte, error) {
	fmt.Println("a printed line")
	fmt.Fprintln(os.Stderr, "an error line")
	ctx.Log().Warn("a record", "colour", "mauve")
	return []byte("logged"), nil
}

func main() {
	ignite.Start(handler)
}
