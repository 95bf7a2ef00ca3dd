package main

import (
	"ignite"

	"example.invalid/nothing/here"
)

func handler(payload []byte, ctx *ignite.Context) ([]byte, error) {
	return payload, nil
}

func main() {
	ignite.Start(handler)
}
