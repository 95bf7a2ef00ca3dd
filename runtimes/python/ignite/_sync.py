"""Serves a plain `def` handler: one execution at a time, in a loop that blocks."""

from __future__ import annotations

from _thread import get_ident

from ignite._connection import fault, flush_output, leave, leave_drained
from ignite._context import Context
from ignite._failure import HandlerCancelled, encode_error, end_as_python
from ignite._frames import (
    AHEAD_BIT,
    AHEAD_MAX,
    BYE,
    CANCEL,
    CREDIT,
    DRAIN,
    ERROR,
    INVOKE,
    WARN_LEVEL,
    FrameError,
    decode_cancel,
    decode_invoke,
    decode_number,
    encode_chunk,
    encode_empty,
    encode_failure,
    result_head,
)
from ignite._response import to_answer, to_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from typing import Any, NoReturn

    from ignite._connection import Connection, Frame
    from ignite._frames import Buffer
    from ignite._load import Handler

_SETTLED = frozenset({bytes, str, dict, list, type(None)})
"""Types of results that need no event loop: the ones that handlers return, so that the question is asked seldom."""


class AnswerTooLong(Exception):
    """The answer does not fit into the longest frame that the host accepts; it must be streamed."""


class SyncWorker:
    """One handler on one connection."""

    __slots__ = (
        "connection",
        "context",
        "credit",
        "current",
        "draining",
        "handler",
        "log",
        "loop",
        "thread",
        "waiting",
    )

    def __init__(self, connection: Connection, handler: Handler) -> None:
        self.connection = connection
        self.handler = handler
        self.log = connection.log
        self.current = 0
        self.context: Context | None = None
        self.credit = 0
        self.draining = False
        self.loop: AbstractEventLoop | None = None
        self.thread = get_ident()
        # Requests that came while a stream waited for credit. The host sends one at a time, so this stays empty.
        self.waiting: list[Frame] = []

    def serve(self) -> NoReturn:
        """Answers until the host drains the worker or is gone."""
        connection = self.connection
        while True:
            frame = connection.take()
            if frame is None:
                connection.receive()
            elif frame[0] == INVOKE:
                self._execute(frame)
                del frame
                while self.waiting:
                    self._execute(self.waiting.pop(0))
                if self.draining:
                    self._finish()
            else:
                self._control(frame)

    def poll(self) -> None:
        """Notices a cancel that has arrived. Only the thread that runs the handler may read the socket."""
        if self.current and get_ident() == self.thread and not self.connection.disowned:
            while self.connection.receive_arrived():
                self._take_all()

    def _execute(self, frame: Frame) -> None:
        _, number, data, start, end = frame
        connection = self.connection
        if number >= AHEAD_BIT and not connection.take_token():
            connection.send(encode_failure(ERROR, number, "cancelled", "", ""))
            return
        context, payload = invocation(self, number, data, start, end)
        self.context = context
        self.current = number
        try:
            result = self.handler(payload, context)
            if type(result) not in _SETTLED and hasattr(type(result), "__await__"):
                result = self._wait_for(result)
            prefix, body = to_answer(result)
            if type(body) is bytes:
                if len(prefix) + len(body) > connection.frame_bytes_max:
                    raise too_long(connection, len(body))
                answer = result_head(number, prefix, len(body), end=True)
            else:
                self._stream(number, prefix, body)
                answer = body = b""
        except BaseException as error:
            if connection.disowned:
                leave(end_as_python(error))
            answer = encode_error(ERROR, number, error)
            body = b""
        if connection.disowned:
            # A process that the handler forked has come back out of it.
            leave(0)
        # What the execution printed is out before its answer is.
        flush_output()
        self.current = 0
        self.context = None
        if answer:
            connection.send_with_body(answer, body)

    def _stream(self, number: int, prefix: bytes, parts: Any) -> None:
        """Sends the parts as they are made and as the host has room for them; sends the end as well."""
        connection = self.connection
        self.credit = connection.window
        synchronous = hasattr(type(parts), "__next__")
        begun = False
        try:
            while True:
                try:
                    part = next(parts) if synchronous else self._wait_for(parts.__anext__())
                except (StopIteration, StopAsyncIteration):
                    break
                rest = memoryview(to_part(part))
                if not begun:
                    begun = True
                    room = min(self.credit, connection.frame_bytes_max - len(prefix))
                    now, rest = rest[:room], rest[room:]
                    self.credit -= len(now)
                    flush_output()
                    connection.send_with_body(result_head(number, prefix, len(now), end=False), now)
                while rest:
                    self._wait_for_credit()
                    room = min(self.credit, connection.frame_bytes_max)
                    now, rest = rest[:room], rest[room:]
                    self.credit -= len(now)
                    connection.send(encode_chunk(number, now, end=False))
                self.poll()
                self._stop_if_cancelled()
        finally:
            self._close(parts)
        flush_output()
        if begun:
            connection.send(encode_chunk(number, b"", end=True))
        else:
            connection.send(result_head(number, prefix, 0, end=True))

    def _wait_for_credit(self) -> None:
        while not self.credit:
            self.connection.receive()
            self._take_all()
            self._stop_if_cancelled()

    def _stop_if_cancelled(self) -> None:
        if self.context is not None and self.context._cancelled:
            raise HandlerCancelled("the execution was cancelled")

    def _close(self, parts: Any) -> None:
        """Lets the generator of a stream that broke off clean up; closes a file that was streamed."""
        try:
            if hasattr(parts, "close"):
                parts.close()
            elif hasattr(parts, "aclose"):
                self._wait_for(parts.aclose())
        except BaseException as error:
            self.log(self.current, WARN_LEVEL, f"the stream failed while it was closed: {error!r}", b"")

    def _wait_for(self, awaitable: Any) -> Any:
        """Runs what only an event loop can, for a handler that did not look asynchronous."""
        if self.loop is None:
            import asyncio

            self.loop = asyncio.new_event_loop()

        async def settle() -> Any:
            return await awaitable

        return self.loop.run_until_complete(settle())

    def _take_all(self) -> None:
        while (frame := self.connection.take()) is not None:
            if frame[0] == INVOKE:
                if len(self.waiting) == self.connection.max_concurrency + AHEAD_MAX:
                    fault("more requests than it said it would")
                self.waiting.append(frame)
            else:
                self._control(frame)

    def _control(self, frame: Frame) -> None:
        tag, number, data, start, end = frame
        try:
            if tag == CREDIT:
                credit = decode_number(data, start, end)
                if number == self.current:
                    self.credit += credit
            elif tag == CANCEL:
                decode_cancel(data, start, end)
                if number == self.current and self.context is not None:
                    self.context._cancelled = True
            elif tag == DRAIN and start == end:
                self.draining = True
                if not self.current:
                    self._finish()
            else:
                fault(f"a frame of kind {tag & 0xFF} that does not belong here")
        except FrameError as cause:
            fault(str(cause))

    def _finish(self) -> NoReturn:
        self.connection.send(encode_empty(BYE))
        leave_drained()


def invocation(sink: Any, number: int, data: Buffer, start: int, end: int) -> tuple[Context, bytes]:
    """The context and the payload of an INVOKE."""
    try:
        fields = decode_invoke(data, start, end)
    except FrameError as cause:
        fault(str(cause))
    return Context(sink, number, *fields[:-1]), fields[-1]


def too_long(connection: Connection, body_bytes: int) -> AnswerTooLong:
    """The error for a body that no single frame can carry."""
    return AnswerTooLong(
        f"the answer has {body_bytes} bytes; at most {connection.frame_bytes_max} fit unless it is streamed: "
        "yield it in parts"
    )
