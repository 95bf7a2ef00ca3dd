"""A process that has imported the handler once and forks a worker for each FORK.

It runs no code of the author after the import and has one thread, which is what makes forking it sound.
"""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]
import gc
import os
import select
import sys
from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, MSG_CTRUNC, SCM_RIGHTS, SOL_SOCKET
from _socket import socket as Socket
from struct import Struct

from ignite._connection import RECEIVE_BYTES, fault, flush_output, leave, leave_at_once, leave_drained
from ignite._frames import BYE, DRAIN, ERROR_LEVEL, EXITED, FORK, FORKED, encode_empty, encode_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ignite._connection import Connection

_DESCRIPTOR = Struct("i")
_DESCRIPTORS = (3, 4)
"""How many a FORK comes with: socket, stdout and stderr of the worker, and the tokens where the host sends ahead."""
_STATUS_NOT_FORKED = 1 << 8
"""Wait status that tells the host of a worker that could not be forked: exit status 1."""


def count_threads() -> int:
    """Threads of this process; 0 where the system does not say, which is no ground to fork on."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 0


class Zygote:
    """The loop of a zygote. It ends in the parent with the process, and returns in each child."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.received: list[list[int]] = []
        """Descriptors that have come, for FORK frames still to be read. They come with a frame's first byte."""
        self.children: dict[int, int] = {}
        """Ids of the FORKs by process id."""
        self.wake_receiver, self.wake_sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.child_handler = _signal.signal(_signal.SIGCHLD, lambda *_: None)
        _signal.set_wakeup_fd(self.wake_sender, warn_on_full_buffer=False)

    def serve(self) -> Connection:
        """Forks until the host drains the zygote or is gone. Returns the connection of the worker, in the worker."""
        waiter = select.poll()
        waiter.register(self.connection.sock.fileno(), select.POLLIN)
        waiter.register(self.wake_receiver, select.POLLIN)
        while True:
            for descriptor, _ in waiter.poll():
                if descriptor == self.wake_receiver:
                    os.read(descriptor, RECEIVE_BYTES)
                    self._reap()
                    continue
                self._receive()
                while (frame := self.connection.take()) is not None:
                    tag, number, _, start, end = frame
                    if tag == FORK and start == end:
                        worker = self._fork(number)
                        if worker is not None:
                            return worker
                    elif tag == DRAIN and start == end:
                        self._finish()
                    else:
                        fault(f"a frame of kind {tag & 0xFF} to a zygote")

    def _receive(self) -> None:
        try:
            piece, controls, flags, _ = self.connection.sock.recvmsg(
                RECEIVE_BYTES, CMSG_SPACE(_DESCRIPTOR.size * max(_DESCRIPTORS)), MSG_CMSG_CLOEXEC
            )
        except OSError:
            piece, controls, flags = b"", [], 0
        if not piece:
            self._end_children()
            leave_at_once()
        for level, kind, data in controls:
            count, rest = divmod(len(data), _DESCRIPTOR.size)
            if level == SOL_SOCKET and kind == SCM_RIGHTS and count in _DESCRIPTORS and not rest:
                self.received.append([descriptor for (descriptor,) in _DESCRIPTOR.iter_unpack(data)])
            else:
                fault("something other than three or four descriptors beside a frame")
        if flags & MSG_CTRUNC:
            fault("more than four descriptors with one frame")
        self.connection.accept(piece)

    def _fork(self, number: int) -> Connection | None:
        if not self.received:
            fault("FORK without its descriptors")
        descriptors = self.received.pop(0)
        flush_output()
        if count_threads() != 1:
            self.connection.log(number, ERROR_LEVEL, "the zygote has more than one thread and cannot be forked", b"")
            leave(1)
        try:
            pid = os.fork()
        except OSError as cause:
            # The host sees the end of a worker that never began, and decides whether to try again.
            self.connection.log(number, ERROR_LEVEL, f"could not fork a worker: {cause}", b"")
            self.connection.send(encode_number(EXITED, number, _STATUS_NOT_FORKED))
            pid = -1
        if pid == 0:
            return self._become_worker(*descriptors)
        if pid > 0:
            self.connection.send(encode_number(FORKED, number, pid))
            self.children[pid] = number
        for descriptor in descriptors:
            os.close(descriptor)
        return None

    def _become_worker(self, sock: int, stdout: int, stderr: int, tokens: int | None = None) -> Connection:
        _signal.set_wakeup_fd(-1)
        # None stands for a handler that was not set from Python and cannot be set again from there.
        _signal.signal(_signal.SIGCHLD, self.child_handler or _signal.SIG_DFL)
        # A group of its own, as the host expects it: what the handler starts ends with this worker, and the end of the
        # zygote's group is not its own.
        os.setpgid(0, 0)
        for descriptor in (self.wake_receiver, self.wake_sender, *(one for fork in self.received for one in fork)):
            os.close(descriptor)
        self.connection.sock.close()
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.close(stdout)
        os.close(stderr)
        forget_the_parent()
        child = self.connection.for_child(Socket(fileno=sock))
        child.tokens = tokens
        return child

    def _end_children(self) -> None:
        """The host is gone without a word. A child whose handler never returns would not see its own socket close."""
        for pid in self.children:
            # Not reaped yet, so the number is still the child's.
            os.kill(pid, _signal.SIGKILL)

    def _reap(self) -> None:
        # Not `waitpid(-1)`: processes that the author started while importing are not ours to reap.
        for pid, number in list(self.children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self.children[pid]
                self.connection.send(encode_number(EXITED, number, status))

    def _finish(self) -> NoReturn:
        self.connection.send(encode_empty(BYE))
        leave_drained()


def forget_the_parent() -> None:
    """Makes a fresh fork a process of its own."""
    import atexit

    # What was registered while importing is run once, by the process that imported: a temporary folder that the workers
    # share must outlive each of them.
    atexit._clear()
    # `random` and OpenSSL look after themselves when forked; NumPy's global generator does not.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    gc.enable()
