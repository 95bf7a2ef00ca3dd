// The three handlers of the bench, by path.
package main

import (
	"encoding/json"
	"time"

	"ignite"
)

type request struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

type answer struct {
	Greeting string `json:"greeting"`
	ID       string `json:"id"`
}

// handler greets at /, gives back what it was sent at /echo, and greets after 10 ms at /wait.
func handler(payload []byte, ctx *ignite.Context) ([]byte, error) {
	switch ctx.Path {
	case "/echo":
		return payload, nil
	case "/wait":
		time.Sleep(10 * time.Millisecond)
	}
	var asked request
	if err := json.Unmarshal(payload, &asked); err != nil {
		return nil, err
	}
	ctx.SetHeader("content-type", "application/json")
	return json.Marshal(answer{Greeting: "Hello, " + asked.Name + "!", ID: asked.ID})
}

func main() {
	ignite.Start(handler)
}
