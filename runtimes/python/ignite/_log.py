"""`ctx.log`: records that reach the host with the id of their execution."""

from __future__ import annotations

import sys

from ignite._frames import DEBUG_LEVEL, ERROR_LEVEL, INFO_LEVEL, TRACE_LEVEL, WARN_LEVEL
from ignite._to_json import fields_to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Sink(Protocol):
        """Where records go, and who knows which execution runs."""

        @property
        def current(self) -> int:
            """Number of the execution that the caller runs in; 0 where there is none."""
            ...

        def log(self, number: int, level: int, message: str, fields: bytes) -> None:
            """Takes one record. Never raises."""
            ...

        def poll(self) -> None:
            """Takes in what has arrived, so that a cancel is noticed."""
            ...


MESSAGE_CHARS_MAX = 256 * 1024
"""Longest message of a record; the rest is cut off."""

FIELDS_BYTES_MAX = 256 * 1024
"""Longest encoded fields of a record; longer ones are left out, and said to be."""

sink: Sink | None = None
"""Where records go that know of no context: those of `logging`."""


def emit(to: Sink, number: int, level: int, message: str, fields: dict[str, Any]) -> None:
    """Hands one record over, cut to its bounds."""
    if len(message) > MESSAGE_CHARS_MAX:
        message = message[:MESSAGE_CHARS_MAX] + f"… ({len(message) - MESSAGE_CHARS_MAX} characters left out)"
    encoded = fields_to_json(fields)
    if len(encoded) > FIELDS_BYTES_MAX:
        encoded = fields_to_json({"fields_left_out_bytes": len(encoded)})
    to.log(number, level, message, encoded)


class Log:
    """Writes log records of one execution.

    A message may hold `%` places for the arguments after it, as with `logging`; keywords become fields of the record:
    `ctx.log.info("resized %s", name, width=640)`. Logging never raises.
    """

    __slots__ = ("_number", "_sink")

    def __init__(self, sink: Sink, number: int) -> None:
        self._sink = sink
        self._number = number

    def trace(self, message: object, /, *args: object, **fields: Any) -> None:
        """Finer than debug."""
        self._emit(TRACE_LEVEL, message, args, fields)

    def debug(self, message: object, /, *args: object, **fields: Any) -> None:
        """For the author while developing."""
        self._emit(DEBUG_LEVEL, message, args, fields)

    def info(self, message: object, /, *args: object, **fields: Any) -> None:
        """Normal operation."""
        self._emit(INFO_LEVEL, message, args, fields)

    def warning(self, message: object, /, *args: object, **fields: Any) -> None:
        """Unexpected, but handled."""
        self._emit(WARN_LEVEL, message, args, fields)

    warn = warning

    def error(self, message: object, /, *args: object, **fields: Any) -> None:
        """Something failed."""
        self._emit(ERROR_LEVEL, message, args, fields)

    def exception(self, message: object, /, *args: object, **fields: Any) -> None:
        """As `error`, with the traceback of the exception that is being handled."""
        self._emit(ERROR_LEVEL, message, args, {"exc_info": True, **fields})

    def _emit(self, level: int, message: object, args: tuple[object, ...], fields: dict[str, Any]) -> None:
        try:
            text = str(message)
        except Exception:
            text = f"<unprintable {type(message).__name__}>"
        if args:
            try:
                # `logging` takes a single mapping for `%(name)s` places, and so does this.
                text %= args[0] if len(args) == 1 and isinstance(args[0], dict) and args[0] else args
            except Exception:
                text = f"{text} {args!r}"
        if fields:
            # The two keywords of `logging` that authors know by heart mean the same here.
            extra = fields.pop("extra", None)
            if isinstance(extra, dict):
                fields = extra | fields
            error = fields.pop("exc_info", None)
            if error:
                error = error if isinstance(error, BaseException) else sys.exception()
            if error:
                from ignite._failure import format_trace

                text = f"{text}\n{format_trace(error)}".rstrip("\n")
        emit(self._sink, self._number, level, text, fields)
