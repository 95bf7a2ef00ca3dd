package ignite

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// openWorkerSocket opens the inherited socket. Programs that the handler starts inherit neither the descriptor nor its
// variable.
func openWorkerSocket() (*os.File, error) {
	text, ok := os.LookupEnv(envWorkerFD)
	if !ok {
		return nil, errors.New(unservedAdvice)
	}
	_ = os.Unsetenv(envWorkerFD)
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 0 {
		return nil, fmt.Errorf("ignite: %s=%q is not a descriptor", envWorkerFD, text)
	}
	// Non-blocking, so that the file goes to Go's poller and a blocked read costs no thread.
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("ignite: %s=%d cannot be used: %w", envWorkerFD, fd, err)
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "worker socket"), nil
}
