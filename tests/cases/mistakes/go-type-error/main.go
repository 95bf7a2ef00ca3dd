package main

import "ignite"

func handler(payload []byte, ctx *ignite.Context) ([]byte, error) {
	count := len(payload)
	return "hello" + count, nil
}

func main() {
	ignite.Start(handler)
}
