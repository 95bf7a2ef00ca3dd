// Executions that go on beyond their time in every way there is, by path; / greets.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"os/exec"
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

func handler(payload []byte, ctx *ignite.Context) ([]byte, error) {
	switch ctx.Path {
	case "/spins":
		for {
		}
	case "/sleeps":
		time.Sleep(time.Hour)
	case "/hashes":
		hashes()
	case "/catches_everything":
		for {
			naps()
		}
	case "/starts_a_program":
		return nil, exec.Command("sleep", "3600").Run()
	}
	var asked request
	if err := json.Unmarshal(payload, &asked); err != nil {
		return nil, err
	}
	ctx.SetHeader("content-type", "application/json")
	return json.Marshal(answer{Greeting: "Hello, " + asked.Name + "!", ID: asked.ID})
}

func hashes() {
	sum := sha256.Sum256([]byte("paint"))
	for {
		sum = sha256.Sum256(sum[:])
	}
}

func naps() {
	defer func() { _ = recover() }()
	for {
		time.Sleep(time.Millisecond)
	}
}

func main() {
	ignite.Start(handler)
}
