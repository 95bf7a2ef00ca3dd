// Package ignite serves a Go function on Ignite.
//
// A function is a program of package main that hands its handler to [Start]:
//
//	package main
//
//	import "ignite"
//
//	func handler(payload []byte, ctx *ignite.Context) ([]byte, error) {
//		return append([]byte("hello, "), payload...), nil
//	}
//
//	func main() { ignite.Start(handler) }
//
// `ignite run .` serves it on a local port. The program has no HTTP server of its own: a runtime host owns the port,
// the limits, the logs and the health probe, and passes each request to the handler.
//
// # Answers
//
// The returned bytes are the body, with status 200 and content type application/octet-stream unless
// [Context.SetStatus] and [Context.SetHeader] say otherwise. [StartJSON] and [JSON] are for handlers that take and
// return values. [Context.Stream] sends a body while the handler runs.
//
// # Errors
//
// A returned error and a panic are both answered with status 500; the process and its other executions go on. A panic
// in a goroutine that the handler started cannot be caught by anybody: Go ends the process, and the host starts
// another.
//
// # Concurrency
//
// Handlers run concurrently, each in its own goroutine. What they share must be guarded as in any Go server.
package ignite

import (
	"fmt"
	"os"
)

// Handler answers one execution. The payload is the request body; it belongs to the handler, which may change and keep
// it. The returned bytes are copied before the next step of the same goroutine, so they may be reused afterwards.
type Handler func(payload []byte, ctx *Context) ([]byte, error)

// Exit statuses of a worker.
const (
	exitDone       = 0
	exitInit       = 1
	exitUnserved   = 2
	exitBadHost    = 70
	sdkVersion     = "ignite-go/0.1.0"
	envWorkerFD    = "IGNITE_WORKER_FD"
	unservedAdvice = "ignite: this program is an Ignite function; serve it with `ignite run .`"
)

// Start serves the handler and never returns: the process ends when its host says so, with deferred calls of main not
// run. A program that was not started by a host says on stderr how to serve it and exits with status 2.
func Start(handler Handler) {
	conn, err := openWorkerSocket()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitUnserved)
	}
	status, err := serve(conn, handler)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ignite:", err)
	}
	os.Exit(status)
}
