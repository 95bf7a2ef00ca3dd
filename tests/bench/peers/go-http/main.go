// The three handlers of the bench on net/http.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"
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
func handler(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.URL.Path != "/echo" {
		if r.URL.Path == "/wait" {
			time.Sleep(10 * time.Millisecond)
		}
		var asked request
		if err := json.Unmarshal(body, &asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body, err = json.Marshal(answer{Greeting: "Hello, " + asked.Name + "!", ID: asked.ID})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("content-type", "application/json")
	}
	w.Header().Set("content-length", strconv.Itoa(len(body)))
	w.Write(body)
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(handler)))
}
