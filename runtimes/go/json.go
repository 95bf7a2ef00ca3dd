package ignite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// JSON makes a [Handler] of a function that takes and returns values. The payload is decoded into Req, an empty one
// leaves it at its zero value; what cannot be decoded is answered with status 400 and never reaches the function. The
// result is encoded with content type application/json, unless the function has set another.
func JSON[Req, Res any](handle func(request Req, ctx *Context) (Res, error)) Handler {
	return func(payload []byte, ctx *Context) ([]byte, error) {
		var request Req
		if len(bytes.TrimSpace(payload)) > 0 {
			if err := json.Unmarshal(payload, &request); err != nil {
				return refuseJSON(err, ctx)
			}
		}
		result, err := handle(request, ctx)
		if err != nil {
			return nil, err
		}
		if ctx.streams() {
			return nil, nil
		}
		body, err := json.Marshal(result)
		if err != nil {
			return nil, fmt.Errorf("could not encode the result: %w", err)
		}
		if !ctx.answer.typed {
			ctx.SetHeader("content-type", "application/json")
		}
		return body, nil
	}
}

// StartJSON is [Start] for a function that takes and returns values; see [JSON].
func StartJSON[Req, Res any](handle func(request Req, ctx *Context) (Res, error)) {
	Start(JSON(handle))
}

func refuseJSON(cause error, ctx *Context) ([]byte, error) {
	ctx.SetStatus(http.StatusBadRequest)
	ctx.SetHeader("content-type", "application/json")
	return json.Marshal(struct {
		Error       string `json:"error"`
		Type        string `json:"type"`
		ExecutionID string `json:"execution_id"`
	}{"the payload is not the JSON this function takes: " + cause.Error(), "invalid_json", ctx.ExecutionID})
}

func (c *Context) streams() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream != nil
}
