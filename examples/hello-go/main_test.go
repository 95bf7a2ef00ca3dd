package main

import (
	"testing"

	"ignite/ignitetest"
)

func TestGreets(t *testing.T) {
	for payload, want := range map[string]string{
		"":               `{"greeting":"Hello, world!"}`,
		`{"name":"Zoë"}`: `{"greeting":"Hello, Zoë!"}`,
	} {
		response := ignitetest.Invoke(handler, ignitetest.Request{Body: []byte(payload)})
		if response.Status != 200 || string(response.Body) != want {
			t.Errorf("%q: answered %d %s", payload, response.Status, response.Body)
		}
	}
}

func TestRefusesWhatIsNoJSON(t *testing.T) {
	if response := ignitetest.Invoke(handler, ignitetest.Request{Body: []byte("{")}); response.Error == nil {
		t.Errorf("answered %d %s", response.Status, response.Body)
	}
}
