"""Calling a handler as a host would, without one: for the unit tests of a function.

    from ignite import testing
    from handler import handler

    def test_greets() -> None:
        answer = testing.invoke(handler, {"name": "Zoë"})
        assert answer.status == 200
        assert answer.json() == {"greeting": "Hello, Zoë!"}

What the handler raises reaches the test as it is.
"""

from __future__ import annotations

import asyncio
import json as _json
from collections.abc import Iterable, Mapping
from typing import Any

from ignite._context import Context, Headers
from ignite._frames import decode_headers, encode_headers
from ignite._load import CONTRACT, signature_problem
from ignite._response import to_answer, to_part
from ignite._to_json import to_json

__all__ = ["Answer", "Record", "cancel", "context", "invoke", "logs"]

_LEVELS = ("trace", "debug", "info", "warn", "error")


class Record:
    """One log record that a handler wrote through `ctx.log`."""

    def __init__(self, level: str, message: str, fields: dict[str, Any]) -> None:
        self.level = level
        """`trace`, `debug`, `info`, `warn` or `error`."""
        self.message = message
        self.fields = fields

    def __repr__(self) -> str:
        return f"Record({self.level!r}, {self.message!r}, {self.fields!r})"


class Answer:
    """What a caller would have received."""

    def __init__(self, status: int, headers: Headers, parts: list[bytes], logs: list[Record]) -> None:
        self.status = status
        self.headers = headers
        self.parts = parts
        """The parts of a streamed answer as they were yielded; the body as the only part of another one."""
        self.logs = logs

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.parts)

    @property
    def text(self) -> str:
        """The body, read as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """The body, read as JSON."""
        return _json.loads(self.body)

    def __repr__(self) -> str:
        return f"Answer({self.status}, {self.headers!r}, {self.body!r})"


class _Recorder:
    """Keeps log records where a worker would send them."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.current = 0

    def log(self, number: int, level: int, message: str, fields: bytes) -> None:  # noqa: ARG002
        self.records.append(Record(_LEVELS[level], message, _json.loads(fields) if fields else {}))

    def poll(self) -> None:
        """A test cancels by `cancel`."""


def context(
    *,
    method: str = "POST",
    path: str = "/",
    query: str = "",
    headers: Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]] = (),
    timeout: float | None = None,
    execution_id: str = "01J0000000000000000000TEST",
    function_id: str = "test/function",
    organization_id: str = "test",
) -> Context:
    """A context as a handler is given it. `query` is without its `?`; `timeout` is in seconds, from now."""
    pairs: Any = headers.items() if isinstance(headers, Mapping) else headers
    block = encode_headers(
        (name.lower().encode(), value.encode() if isinstance(value, str) else value) for name, value in pairs
    )
    timeout_us = 0 if timeout is None else max(1, round(timeout * 1e6))
    return Context(
        _Recorder(), 1, timeout_us, execution_id, function_id, organization_id, method, path, query, block
    )  # fmt: skip


def cancel(ctx: Context) -> None:
    """Makes `ctx.cancelled` true, as when the caller goes away."""
    ctx._cancelled = True


def logs(ctx: Context) -> list[Record]:
    """What was written through `ctx.log` so far."""
    recorder = ctx._sink
    return recorder.records if isinstance(recorder, _Recorder) else []


def invoke(handler: Any, payload: Any = b"", ctx: Context | None = None, **options: Any) -> Answer:
    """Calls the handler once and returns its answer. Not from within a running event loop.

    `payload` is bytes, text, or a value that is sent as JSON. `ctx` is a context of `context()`; without it one is made
    of the `options`, which are those of `context()`. Raises what the handler raises, and `TypeError` where a host would
    refuse the handler or its answer.
    """
    problem = signature_problem(handler) if callable(handler) else f"{handler!r} is not callable"
    if problem:
        raise TypeError(f"{problem}; {CONTRACT}")
    if ctx is None:
        ctx = context(**options)
    elif options:
        raise TypeError(f"{next(iter(options))} is already settled by the context")
    if isinstance(payload, str):
        payload = payload.encode()
    elif not isinstance(payload, (bytes, bytearray, memoryview)):
        payload = to_json(payload)
    result = handler(bytes(payload), ctx)
    if hasattr(type(result), "__await__"):
        return asyncio.run(_settle(result, ctx))
    prefix, body = to_answer(result)
    if not isinstance(body, bytes) and hasattr(type(body), "__anext__"):
        return asyncio.run(_gather(prefix, body, ctx))
    return _answer(prefix, [body] if isinstance(body, bytes) else [to_part(part) for part in body], ctx)  # pyright: ignore


async def _settle(result: Any, ctx: Context) -> Answer:
    prefix, body = to_answer(await result)
    if isinstance(body, bytes):
        return _answer(prefix, [body], ctx)
    return await _gather(prefix, body, ctx)


async def _gather(prefix: bytes, parts: Any, ctx: Context) -> Answer:
    if hasattr(type(parts), "__anext__"):
        return _answer(prefix, [to_part(part) async for part in parts], ctx)
    return _answer(prefix, [to_part(part) for part in parts], ctx)


def _answer(prefix: bytes, parts: list[bytes], ctx: Context) -> Answer:
    # Read back from the bytes of the RESULT, so that a test sees what a caller would.
    status = int.from_bytes(prefix[:2], "little")
    headers = Headers((name, value.decode("utf-8", "replace")) for name, value in decode_headers(prefix[6:]))
    return Answer(status, headers, parts, logs(ctx))
