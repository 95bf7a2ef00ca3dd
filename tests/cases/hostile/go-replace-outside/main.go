package main

import "ignite"

func handler(payload []byte, ctx *ignite.Context) ([]byte, error) {
	return payload, nil
}

func main() { ignite.Start(handler) }
