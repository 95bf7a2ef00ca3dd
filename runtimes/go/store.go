package ignite

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
)

const (
	// TempStoreBytesMax is how much one execution may keep in its scratch store: keys and values together.
	TempStoreBytesMax = 64 << 20
	// storeEntryBytes is what an entry counts besides its key and value, so that empty values are bounded too.
	storeEntryBytes = 64
)

// ErrStoreFull is returned by [TempStore.Put] where the value does not fit.
var ErrStoreFull = errors.New("ignite: the scratch store is full: it holds 64 MiB")

// TempStore is scratch memory of one execution: keys with values, bounded, gone with the execution. It may be used
// from several goroutines.
type TempStore struct {
	mu      sync.Mutex
	entries map[string][]byte
	used    int
}

// Put keeps a copy of the value under the key, in place of what was there. It fails with [ErrStoreFull], and then
// changes nothing.
func (s *TempStore) Put(key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := s.used + entryBytes(key, value)
	if old, ok := s.entries[key]; ok {
		used -= entryBytes(key, old)
	}
	if used > TempStoreBytesMax {
		return ErrStoreFull
	}
	if s.entries == nil {
		s.entries = make(map[string][]byte)
	}
	s.entries[key] = bytes.Clone(value)
	s.used = used
	return nil
}

// Get gives a copy of the value; false where there is none.
func (s *TempStore) Get(key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.entries[key]
	return bytes.Clone(value), ok
}

// Delete forgets a key and tells whether it was there.
func (s *TempStore) Delete(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.entries[key]
	if ok {
		s.used -= entryBytes(key, value)
		delete(s.entries, key)
	}
	return ok
}

// List gives the keys that begin with the prefix, sorted.
func (s *TempStore) List(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := []string{}
	for key := range maps.Keys(s.entries) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func entryBytes(key string, value []byte) int { return len(key) + len(value) + storeEntryBytes }
