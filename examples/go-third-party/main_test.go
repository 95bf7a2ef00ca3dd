package main

import (
	"testing"

	"ignite/ignitetest"
)

func TestRenders(t *testing.T) {
	for source, want := range map[string]string{
		"":                             "",
		"# Hello\n\nA ~~poor~~ *text*": "<h1>Hello</h1>\n<p>A <del>poor</del> <em>text</em></p>\n",
		"<script>alert(1)</script>":    "<!-- raw HTML omitted -->\n",
	} {
		response := ignitetest.Invoke(handler, ignitetest.Request{Body: []byte(source)})
		if response.Status != 200 || string(response.Body) != want {
			t.Errorf("%q: answered %d %q", source, response.Status, response.Body)
		}
	}
}

func TestRefusesWhatIsNoText(t *testing.T) {
	response := ignitetest.Invoke(handler, ignitetest.Request{Body: []byte{0xff}})
	if response.Status != 415 {
		t.Errorf("answered %d %s", response.Status, response.Body)
	}
}
