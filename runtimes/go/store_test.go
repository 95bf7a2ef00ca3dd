package ignite

import (
	"errors"
	"fmt"
	"testing"
)

func TestTempStoreIsBounded(t *testing.T) {
	store := new(TempStore)
	half := make([]byte, TempStoreBytesMax/2-storeEntryBytes-1)
	for _, key := range []string{"a", "b"} {
		if err := store.Put(key, half); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Put("c", nil); !errors.Is(err, ErrStoreFull) {
		t.Errorf("one entry over: %v", err)
	}
	// In place of an entry of the same size, and after a deletion, there is room.
	if err := store.Put("a", half); err != nil {
		t.Error(err)
	}
	if !store.Delete("a") || store.Delete("a") {
		t.Error("deletion")
	}
	if err := store.Put("c", nil); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(store.List("")); got != "[b c]" {
		t.Error(got)
	}
}

func TestTempStoreCopies(t *testing.T) {
	store := new(TempStore)
	value := []byte("abc")
	if err := store.Put("k", value); err != nil {
		t.Fatal(err)
	}
	value[0] = 'x'
	got, found := store.Get("k")
	got[1] = 'x'
	if again, _ := store.Get("k"); string(again) != "abc" || !found {
		t.Errorf("%q", again)
	}
	if _, found := store.Get("other"); found {
		t.Error("found what was never put")
	}
}
