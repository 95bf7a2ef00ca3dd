"""Serves an `async def` handler: as many executions at once as the host wants, in one event loop."""

from __future__ import annotations

import asyncio
from _contextvars import ContextVar
from _thread import allocate_lock, get_ident
from selectors import DefaultSelector

from ignite._connection import COPY_BYTES_MAX, fault, flush_output, leave, leave_at_once, leave_drained
from ignite._failure import HandlerCancelled, encode_error, end_as_python
from ignite._frames import (
    BYE,
    CANCEL,
    CREDIT,
    DRAIN,
    ERROR,
    INVOKE,
    WARN_LEVEL,
    FrameError,
    decode_cancel,
    decode_number,
    encode_chunk,
    encode_empty,
    encode_log,
    result_head,
)
from ignite._response import to_answer, to_part
from ignite._sync import invocation, too_long

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from typing import Any, NoReturn

    from ignite._connection import Connection, Frame
    from ignite._context import Context
    from ignite._load import Handler

OUT_BYTES_MAX = 1024 * 1024
"""What may wait to be sent, in bytes; past it the worker waits for the host, with all it does. Answers and streams are
bounded by concurrency and credit; this is for a handler that logs faster than the host reads."""

GATE_SECONDS_MAX = 1.0
"""How long a thread that logs waits for the event loop to send what it has logged, in seconds."""

REHEARSALS = 3
"""Runs of a loop that is only made to have been made."""

_number: ContextVar[int] = ContextVar("ignite_execution", default=0)
"""Which execution runs; tasks that a handler starts, and `asyncio.to_thread`, inherit it."""


_rehearsed: Any = None
"""A loop without descriptors, made by a zygote for each of its workers."""


def rehearse() -> None:
    """Makes an event loop and runs it, so that the workers which are forked next need not make theirs from nothing.

    What Python adjusts when code runs for the first time, and the loop itself, then lie in pages that workers share: a
    third of the pages that starting a loop would write to. Its descriptors are closed; each worker opens its own.
    """
    global _rehearsed

    async def nothing() -> None:
        await asyncio.sleep(0)

    loop: Any = asyncio.new_event_loop()
    for _ in range(REHEARSALS):
        loop.run_until_complete(nothing())
    kind = type(loop)
    if kind is not asyncio.SelectorEventLoop:
        # The author chose another kind, which may not bear being taken apart.
        loop.close()
        return
    loop._close_self_pipe()
    loop._selector.close()
    _rehearsed = loop


def _new_loop() -> asyncio.AbstractEventLoop:
    loop = _rehearsed
    if loop is None:
        return asyncio.new_event_loop()
    loop._selector = DefaultSelector()
    loop._make_self_pipe()
    return loop


class _Execution:
    """One execution that is under way."""

    __slots__ = ("context", "credit", "room", "task")

    def __init__(self, context: Context, window: int) -> None:
        self.context = context
        self.credit = window
        self.room: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None] | None = None


class AsyncWorker:
    """One handler on one connection."""

    def __init__(self, connection: Connection, handler: Handler) -> None:
        self.connection = connection
        self.handler = handler
        self.sock = connection.sock
        self.lock = connection.lock
        self.thread = get_ident()
        self.loop = _new_loop()
        self.executions: dict[int, _Execution] = {}
        self.draining = False
        self.reading = False
        self.scheduled = False
        self.out: list[bytes] = []
        self.out_bytes = 0
        self.unsent: memoryview | None = None

    @property
    def current(self) -> int:
        """Number of the execution that the caller runs in."""
        return _number.get()

    def poll(self) -> None:
        """A cancel arrives by the event loop, while the handler waits for something."""

    def serve(self) -> NoReturn:
        """Answers until the host drains the worker or is gone."""
        asyncio.set_event_loop(self.loop)
        self.sock.setblocking(False)
        self.loop.add_reader(self.sock.fileno(), self._on_readable)
        while True:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                # A task that the handler started and does not wait for has ended so; asyncio lets these two through.
                if self.connection.disowned:
                    leave(end_as_python(error))
                self.log(0, WARN_LEVEL, f"a background task raised {error!r}", b"")

    def _on_readable(self) -> None:
        connection = self.connection
        try:
            connection.receive()
        except BlockingIOError:
            return
        # Answers that are made while the frames are read leave together.
        self.reading = True
        while (frame := connection.take()) is not None:
            if frame[0] == INVOKE:
                self._start(frame)
            else:
                self._control(frame)
        self.reading = False
        self._flush()
        self._finish_if_drained()

    def _start(self, frame: Frame) -> None:
        _, number, data, start, end = frame
        context, payload = invocation(self, number, data, start, end)
        if len(self.executions) >= self.connection.max_concurrency:
            fault("more requests than it said it would")
        execution = self.executions[number] = _Execution(context, self.connection.window)
        # An eager task runs at once until the handler waits; one that never does needs no turn of the loop.
        task = asyncio.Task(self._execute(number, execution, payload), loop=self.loop, eager_start=True)
        if not task.done():
            execution.task = task

    async def _execute(self, number: int, execution: _Execution, payload: bytes) -> None:
        connection = self.connection
        _number.set(number)
        try:
            result = self.handler(payload, execution.context)
            if hasattr(type(result), "__await__"):
                result = await result
            prefix, body = to_answer(result)
            if type(body) is bytes:
                if len(prefix) + len(body) > connection.frame_bytes_max:
                    raise too_long(connection, len(body))
                answer = result_head(number, prefix, len(body), end=True)
            else:
                await self._stream(number, execution, prefix, body)
                answer = body = b""
        except BaseException as error:
            if connection.disowned:
                leave(end_as_python(error))
            if isinstance(error, asyncio.CancelledError) and execution.context._cancelled:
                error = HandlerCancelled("the execution was cancelled")
            answer = encode_error(ERROR, number, error)
            body = b""
        if connection.disowned:
            leave(0)
        flush_output()
        del self.executions[number]
        if answer:
            self._send(answer, body)
        if self.draining and not self.executions:
            self.loop.call_soon(self._finish_if_drained)

    async def _stream(self, number: int, execution: _Execution, prefix: bytes, parts: Any) -> None:
        """Sends the parts as they are made and as the host has room for them; sends the end as well."""
        longest = self.connection.frame_bytes_max
        synchronous = hasattr(type(parts), "__next__")
        begun = False
        try:
            while True:
                try:
                    part = next(parts) if synchronous else await parts.__anext__()
                except (StopIteration, StopAsyncIteration):
                    break
                rest = memoryview(to_part(part))
                if not begun:
                    begun = True
                    room = min(execution.credit, longest - len(prefix))
                    now, rest = rest[:room], rest[room:]
                    execution.credit -= len(now)
                    self._send(result_head(number, prefix, len(now), end=False), now)
                while rest:
                    await self._wait_for_credit(execution)
                    room = min(execution.credit, longest)
                    now, rest = rest[:room], rest[room:]
                    execution.credit -= len(now)
                    self._send(encode_chunk(number, now, end=False))
                # The part leaves now, and a generator that never waits does not keep the loop from the other
                # executions or from a cancel.
                await asyncio.sleep(0)
        finally:
            await self._close(number, parts)
        self._send(encode_chunk(number, b"", end=True) if begun else result_head(number, prefix, 0, end=True))

    async def _wait_for_credit(self, execution: _Execution) -> None:
        while not execution.credit:
            execution.room = self.loop.create_future()
            try:
                await execution.room
            finally:
                execution.room = None

    async def _close(self, number: int, parts: Any) -> None:
        """Lets the generator of a stream that broke off clean up; closes a file that was streamed."""
        try:
            if hasattr(parts, "aclose"):
                await parts.aclose()
            elif hasattr(parts, "close"):
                parts.close()
        except BaseException as error:
            self.log(number, WARN_LEVEL, f"the stream failed while it was closed: {error!r}", b"")

    def _control(self, frame: Frame) -> None:
        tag, number, data, start, end = frame
        try:
            if tag == CREDIT:
                credit = decode_number(data, start, end)
                execution = self.executions.get(number)
                if execution is not None:
                    execution.credit += credit
                    if execution.room is not None and not execution.room.done():
                        execution.room.set_result(None)
            elif tag == CANCEL:
                decode_cancel(data, start, end)
                execution = self.executions.get(number)
                if execution is not None:
                    execution.context._cancelled = True
                    if execution.task is not None:
                        execution.task.cancel()
            elif tag == DRAIN and start == end:
                self.draining = True
            else:
                fault(f"a frame of kind {tag & 0xFF} that does not belong here")
        except FrameError as cause:
            fault(str(cause))

    def log(self, number: int, level: int, message: str, fields: bytes) -> None:
        """Sends a LOG frame; may be called from any thread."""
        if not self.connection.disowned:
            self._send(encode_log(number, level, message, fields))

    def _send(self, frame: bytes, body: bytes | memoryview = b"") -> None:
        if len(body) <= COPY_BYTES_MAX:
            frame += body
            body = b""
        here = get_ident() == self.thread
        with self.lock:
            self.out.append(frame)
            if body:
                self.out.append(bytes(body))
            self.out_bytes += len(frame) + len(body)
            full = self.out_bytes > OUT_BYTES_MAX
            schedule = not self.scheduled and not (here and self.reading)
            self.scheduled = self.scheduled or schedule
        if here and full:
            self._flush()
            self._wait_until_sent()
        elif schedule and here:
            self.loop.call_soon(self._flush_scheduled)
        elif schedule:
            self.loop.call_soon_threadsafe(self._flush_scheduled)
        if full and not here:
            gate = allocate_lock()
            gate.acquire()
            self.loop.call_soon_threadsafe(self._open, gate)
            # The loop may itself be waiting for this thread; then the thread goes on.
            gate.acquire(timeout=GATE_SECONDS_MAX)

    def _open(self, gate: LockType) -> None:
        """Lets a thread go on that has filled what waits to be sent."""
        self._flush()
        self._wait_until_sent()
        gate.release()

    def _flush_scheduled(self) -> None:
        with self.lock:
            self.scheduled = False
        self._flush()

    def _flush(self) -> None:
        """Hands the kernel what it takes; the rest follows when the socket is writable."""
        if self.unsent is not None:
            return
        with self.lock:
            out, self.out = self.out, []
        if not out:
            return
        self.unsent = memoryview(out[0] if len(out) == 1 else b"".join(out))
        self._send_unsent()
        if self.unsent is not None:
            self.loop.add_writer(self.sock.fileno(), self._on_writable)

    def _send_unsent(self) -> None:
        while self.unsent is not None:
            try:
                count = self.sock.send(self.unsent)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                leave_at_once()
            with self.lock:
                self.out_bytes -= count
            self.unsent = self.unsent[count:] if count < len(self.unsent) else None

    def _on_writable(self) -> None:
        self._send_unsent()
        if self.unsent is None:
            self.loop.remove_writer(self.sock.fileno())
            self._flush()
            self._finish_if_drained()

    def _wait_until_sent(self) -> None:
        """Stops everything until the host has taken what waits."""
        import select

        while self.out_bytes > OUT_BYTES_MAX and self.unsent is not None:
            waiter = select.poll()
            waiter.register(self.sock.fileno(), select.POLLOUT)
            waiter.poll()
            self._on_writable()

    def _finish_if_drained(self) -> None:
        if self.draining and not self.executions and not self.reading:
            self._flush()
            if self.unsent is None:
                # Blocking from here on: BYE is the last thing to do.
                self.sock.setblocking(True)
                self.connection.send(encode_empty(BYE))
                leave_drained()
