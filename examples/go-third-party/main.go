// A function that renders Markdown as HTML.
package main

import (
	"bytes"
	"net/http"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"

	"ignite"
)

// markdown is made once: it is safe for executions at the same time. Raw HTML in the source is left out, so that what
// a stranger wrote can be shown.
var markdown = goldmark.New(goldmark.WithExtensions(extension.GFM))

// handler answers Markdown with HTML.
func handler(payload []byte, ctx *ignite.Context) ([]byte, error) {
	if !utf8.Valid(payload) {
		ctx.SetStatus(http.StatusUnsupportedMediaType)
		return []byte("Markdown is text in UTF-8\n"), nil
	}
	var page bytes.Buffer
	if err := markdown.Convert(payload, &page); err != nil {
		return nil, err
	}
	ctx.SetHeader("content-type", "text/html; charset=utf-8")
	return page.Bytes(), nil
}

func main() {
	ignite.Start(handler)
}
