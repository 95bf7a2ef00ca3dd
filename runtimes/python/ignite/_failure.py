"""An exception in the words of an ERROR frame: type, message and a traceback that begins at the author's code."""

from __future__ import annotations

import sys

from ignite._frames import encode_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

KIND_CHARS_MAX = 256
MESSAGE_CHARS_MAX = 64 * 1024
TRACE_CHARS_MAX = 64 * 1024
"""Bounds of the three texts. The middle of a longer trace is left out: both ends tell something."""

PACKAGE = __file__.rpartition("/")[0] + "/"

folder: str | None = None
"""Folder of the app. Traces and messages show the paths of its files relative to it."""


class HandlerCancelled(BaseException):
    """Thrown into a stream whose execution was cancelled, and told to the host as `cancelled`."""


def encode_error(tag: int, number: int, error: BaseException) -> bytes:
    """The ERROR or INIT_ERROR frame that tells of `error`."""
    try:
        return encode_failure(tag, number, kind_of(error), message_of(error), format_trace(error))
    except Exception as second:
        # Out of memory, or a class that fails at being printed.
        return encode_failure(tag, number, type(error).__name__, f"could not be told: {type(second).__name__}", "")


def kind_of(error: BaseException) -> str:
    """The name of the error's class, or a word of the protocol."""
    if isinstance(error, HandlerCancelled):
        return "cancelled"
    return type(error).__name__[:KIND_CHARS_MAX]


def message_of(error: BaseException) -> str:
    """What the error says."""
    if isinstance(error, SystemExit):
        return f"the handler called sys.exit({'' if error.code is None else repr(error.code)})"
    try:
        text = str(error)
    except Exception:
        return f"<unprintable {type(error).__name__}>"
    return text if len(text) <= MESSAGE_CHARS_MAX else text[:MESSAGE_CHARS_MAX] + "…"


def format_trace(error: BaseException) -> str:
    """The traceback as Python prints it, without the worker's own frames at its beginning."""
    from traceback import format_exception

    text = "".join(format_exception(type(error), error, user_traceback(error)))
    if folder is not None:
        text = text.replace(f'File "{folder}/', 'File "')
    if len(text) > TRACE_CHARS_MAX:
        half = TRACE_CHARS_MAX // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
    return text


def user_traceback(error: BaseException) -> TracebackType | None:
    """The traceback of `error` from the first frame that is not the worker's."""
    trace = error.__traceback__
    while trace is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _is_machinery(path: str) -> bool:
    return path.startswith((PACKAGE, "<frozen importlib"))


def end_as_python(error: BaseException) -> int:
    """Says on stderr what the interpreter says of an exception that nobody caught; returns the exit status for it."""
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        sys.stderr.write(f"{error.code}\n")
        return 1
    sys.stderr.write(format_trace(error))
    return 1
