"""The socket to the host: whole frames in, whole frames out.

`_socket` is what `socket` wraps. The wrapper adds enumerations and selectors that a worker does not use, and 7 ms to
each cold start.
"""

from __future__ import annotations

import os
import sys
from _socket import MSG_DONTWAIT
from _thread import allocate_lock

from ignite._frames import (
    FRAME_BYTES_MAX,
    HEADER,
    HEADER_BYTES,
    HELLO,
    HOST_TAGS,
    FrameError,
    decode_hello,
    encode_log,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import NoReturn

    from ignite._frames import Buffer

    type Frame = tuple[int, int, Buffer, int, int]

RECEIVE_BYTES = 64 * 1024
"""What one call of the kernel may bring. More would make each small frame pay for a mapping of fresh memory."""

COPY_BYTES_MAX = 64 * 1024
"""Longest body that is copied behind its head; a longer one is sent by a call of its own."""

STATUS_FAULT = 70
"""Exit status of a worker that was sent something that is no frame of this protocol."""


class Connection:
    """Frames over a blocking stream socket. Sending is safe from any thread; receiving is for one."""

    __slots__ = (
        "at", "data", "disowned", "frame_bytes_max", "have", "large", "lock", "max_concurrency", "sock", "tokens",
        "total", "window",
    )  # fmt: skip

    def __init__(self, sock: socket) -> None:
        self.sock = sock
        self.lock = allocate_lock()
        self.frame_bytes_max = FRAME_BYTES_MAX
        self.window = 0
        self.max_concurrency = 1
        self.disowned = False
        self.tokens: int | None = None
        """Descriptor of the tokens for executions that were sent ahead, where the host sends any."""
        self.data: Buffer = b""
        self.at = 0
        self.total = 0
        self.large: bytearray | None = None
        self.have = 0

    def for_child(self, sock: socket) -> Connection:
        """A connection on another socket, with the bounds that this one's HELLO has set."""
        child = Connection(sock)
        child.frame_bytes_max = self.frame_bytes_max
        child.window = self.window
        child.max_concurrency = self.max_concurrency
        return child

    def take(self) -> Frame | None:
        """The next frame that has arrived whole: tag, id, buffer, and where in it the payload begins and ends."""
        data = self.data
        at = self.at
        if len(data) - at < HEADER_BYTES:
            self.total = 0
            return None
        length, tag, number = HEADER.unpack_from(data, at)
        if tag not in HOST_TAGS:
            fault(f"a frame with kind {tag & 0xFF}, flags and reserved bytes {tag >> 8:#x}")
        if length > FRAME_BYTES_MAX:
            fault(f"a frame of {length} bytes, where {FRAME_BYTES_MAX} are the most")
        start = at + HEADER_BYTES
        end = start + length
        if end > len(data):
            self.total = HEADER_BYTES + length
            return None
        self.at = end
        return tag, number, data, start, end

    def take_token(self) -> bool:
        """Whether an execution that was sent ahead may begin; if not, the host has given it to another worker."""
        try:
            return self.tokens is not None and os.eventfd_read(self.tokens) == 1
        except OSError:
            return False

    def receive(self, flags: int = 0) -> None:
        """Takes in what has arrived; waits for something unless the flags or the socket say not to.

        Raises `BlockingIOError` where nothing is there and it may not wait. Ends the process where the host is gone.
        """
        try:
            if self.large is not None:
                self._receive_large(self.large, flags)
                return
            rest = len(self.data) - self.at
            if not rest:
                # A long request is not kept while the next one is waited for.
                self.data, self.at = b"", 0
            if self.total - rest > RECEIVE_BYTES:
                # A long frame is gathered in one place: growing by each piece would copy it over and over.
                self.large = bytearray(self.total)
                self.large[:rest] = self.data[self.at :]
                self.have = rest
                self.data, self.at = b"", 0
                self._receive_large(self.large, flags)
                return
            piece = self.sock.recv(RECEIVE_BYTES, flags)
        except BlockingIOError:
            raise
        except OSError:
            leave_at_once()
        self.accept(piece)

    def accept(self, piece: bytes) -> None:
        """Puts received bytes behind those that are not taken yet; none mean that the host is gone."""
        if not piece:
            leave_at_once()
        self.data = self.data[self.at :] + piece if self.at < len(self.data) else piece
        self.at = 0

    def _receive_large(self, large: bytearray, flags: int) -> None:
        with memoryview(large) as view:
            count = self.sock.recv_into(view[self.have :], 0, flags)
        if not count:
            leave_at_once()
        self.have += count
        if self.have == len(large):
            self.data, self.at, self.large = large, 0, None

    def receive_arrived(self) -> bool:
        """Takes in what has arrived without waiting; tells whether there was anything."""
        try:
            self.receive(MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def receive_hello(self) -> int:
        """Waits for HELLO, keeps its bounds, and returns the host's version."""
        while (frame := self.take()) is None:
            self.receive()
        tag, _, data, start, end = frame
        if tag != HELLO:
            fault(f"a frame of kind {tag & 0xFF} before HELLO")
        try:
            version, frame_bytes_max, window, max_concurrency = decode_hello(data, start, end)
        except FrameError as cause:
            fault(str(cause))
        self.frame_bytes_max = min(frame_bytes_max, FRAME_BYTES_MAX)
        self.window = window
        self.max_concurrency = max(1, max_concurrency)
        return version

    def send(self, frame: bytes) -> None:
        """Sends a frame. Ends the process where the host is gone."""
        try:
            with self.lock:
                self.sock.sendall(frame)
        except OSError:
            leave_at_once()

    def send_with_body(self, head: bytes, body: bytes | memoryview) -> None:
        """Sends a frame whose body stands apart."""
        if len(body) <= COPY_BYTES_MAX:
            self.send(head + body)
            return
        try:
            with self.lock:
                self.sock.sendall(head)
                self.sock.sendall(body)
        except OSError:
            leave_at_once()

    def log(self, number: int, level: int, message: str, fields: bytes) -> None:
        """Sends a LOG frame. Without a host there is nobody to tell, and whoever receives next finds that out."""
        try:
            with self.lock:
                self.sock.sendall(encode_log(number, level, message, fields))
        except OSError:
            pass

    def disown_in_forks(self) -> None:
        """Keeps processes that the handler forks off this socket: what they would write belongs to nobody."""

        def disown() -> None:
            self.disowned = True
            self.lock = allocate_lock()
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(null, self.sock.fileno(), inheritable=False)
            os.close(null)

        os.register_at_fork(after_in_child=disown)


class Loading:
    """Where log records go while no execution runs: straight to the host, without an id."""

    current = 0

    def __init__(self, connection: Connection) -> None:
        self.log = connection.log

    def poll(self) -> None:
        """Nothing can be cancelled yet."""


def flush_output() -> None:
    """Hands what was printed to the pipes."""
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass


def leave(status: int) -> NoReturn:
    """Ends the process without waiting for the threads that the handler may have started."""
    flush_output()
    os._exit(status)


def leave_at_once() -> NoReturn:
    """Ends the process because the host is gone: nobody is left to answer."""
    os._exit(0)


def leave_drained() -> NoReturn:
    """Ends the process after the last answer; exit functions that were registered in this process are run."""
    import atexit

    atexit._run_exitfuncs()
    leave(0)


def fault(what: str) -> NoReturn:
    """Ends the process because the host sent something that it never sends."""
    try:
        sys.stderr.write(f"ignite: the host sent {what}\n")
    except (AttributeError, OSError, ValueError):
        pass
    leave(STATUS_FAULT)
