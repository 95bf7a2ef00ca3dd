package main

import (
	"encoding/json"

	"ignite"
)

type request struct {
	Name string `json:"name"`
}

type answer struct {
	Greeting    string `json:"greeting"`
	ExecutionID string `json:"execution_id"`
}

// handler greets whoever the JSON payload names.
func handler(payload []byte, ctx *ignite.Context) ([]byte, error) {
	asked := request{Name: "world"}
	if len(payload) > 0 {
		if err := json.Unmarshal(payload, &asked); err != nil {
			return nil, err
		}
	}
	ctx.SetHeader("content-type", "application/json")
	return json.Marshal(answer{Greeting: "Hello, " + asked.Name + "!", ExecutionID: ctx.ExecutionID})
}

func main() {
	ignite.Start(handler)
}
