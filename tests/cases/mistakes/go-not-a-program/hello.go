package hello

func Handler(payload []byte) []byte {
	return payload
}
