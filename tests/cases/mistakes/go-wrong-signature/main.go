package main

import "ignite"

func handler(payload string) (string, error) {
	return payload, nil
}

func main() {
	ignite.Start(handler)
}
