// Package hook lets package ignitetest make and run executions without package ignite having to export how.
package hook

import "ignite/internal/wire"

// Execution is an execution outside a host.
type Execution interface {
	// Context is the *ignite.Context.
	Context() any
	// Run calls an ignite.Handler and sends its answer.
	Run(handler any, payload []byte)
	// Cancel asks the execution to stop.
	Cancel(reason wire.CancelReason)
}

// NewExecution makes an execution whose frames go to send, one at a time. Package ignite sets it.
var NewExecution func(invoke wire.Invoke, send func(frame []byte)) (Execution, error)
