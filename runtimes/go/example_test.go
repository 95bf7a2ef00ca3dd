package ignite_test

import (
	"fmt"
	"time"

	"ignite"
	"ignite/ignitetest"
)

func ExampleStart() {
	handler := func(payload []byte, ctx *ignite.Context) ([]byte, error) {
		ctx.SetHeader("content-type", "text/plain; charset=utf-8")
		return append([]byte("hello, "), payload...), nil
	}
	// ignite.Start(handler) in main; a test runs it once:
	response := ignitetest.Invoke(handler, ignitetest.Request{Body: []byte("Ada")})
	fmt.Println(response.Status, string(response.Body))
	// Output: 200 hello, Ada
}

func ExampleJSON() {
	type greeting struct{ Name, Text string }
	handler := ignite.JSON(func(request greeting, ctx *ignite.Context) (greeting, error) {
		request.Text = "hello, " + request.Name
		return request, nil
	})
	response := ignitetest.Invoke(handler, ignitetest.Request{Body: []byte(`{"Name":"Ada"}`)})
	fmt.Println(string(response.Body))
	response = ignitetest.Invoke(handler, ignitetest.Request{Body: []byte(`[]`)})
	fmt.Println(response.Status)
	// Output:
	// {"Name":"Ada","Text":"hello, Ada"}
	// 400
}

func ExampleContext_Stream() {
	handler := func(_ []byte, ctx *ignite.Context) ([]byte, error) {
		ctx.SetHeader("content-type", "text/event-stream")
		stream := ctx.Stream()
		for tick := range 3 {
			fmt.Fprintf(stream, "data: %d\n\n", tick)
			if err := stream.Flush(); err != nil {
				return nil, err // the caller went away
			}
		}
		return nil, nil
	}
	response := ignitetest.Invoke(handler, ignitetest.Request{})
	fmt.Printf("%t %q\n", response.Streamed, response.Body)
	// Output: true "data: 0\n\ndata: 1\n\ndata: 2\n\n"
}

func ExampleContext_Context() {
	handler := func(_ []byte, ctx *ignite.Context) ([]byte, error) {
		select {
		case <-time.After(time.Hour):
			return []byte("slow"), nil
		case <-ctx.Context().Done():
			return nil, ctx.Context().Err()
		}
	}
	response := ignitetest.Invoke(handler, ignitetest.Request{Timeout: time.Millisecond})
	fmt.Println(response.Error)
	// Output: cancelled: context deadline exceeded
}

func ExampleContext_Log() {
	handler := func(_ []byte, ctx *ignite.Context) ([]byte, error) {
		ctx.Log().Info("resized", "width", 640)
		return nil, nil
	}
	for _, log := range ignitetest.Invoke(handler, ignitetest.Request{}).Logs {
		fmt.Println(log.Level, log.Message, log.Fields)
	}
	// Output: info resized {"width":640}
}

func ExampleContext_TempStore() {
	ctx := ignitetest.NewContext(ignitetest.Request{})
	_ = ctx.TempStore().Put("page/1", []byte("text"))
	value, found := ctx.TempStore().Get("page/1")
	fmt.Println(string(value), found, ctx.TempStore().List("page/"))
	// Output: text true [page/1]
}
