"""Worker frames, version 1: what the bytes between a host and this worker mean.

`core/abi/FRAMES.md` is the protocol in words. This module knows bytes only, no socket and no handler: it decodes what a
host sends and encodes what a worker sends. The other direction stands with the tests, which play the host.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ABI_VERSION = 1

FRAME_BYTES_MAX = 32 * 1024 * 1024
"""Longest payload a worker accepts, in bytes."""

HEADER_BYTES = 16
HEADER = Struct("<IIQ")
"""Payload length, tag, execution id."""

# A tag is kind, flags and the reserved bytes as one number, so that one comparison checks all three.
END = 0x0100
HELLO = 1
INVOKE = 2 | END
CANCEL = 3
CREDIT = 4
DRAIN = 5
READY = 16
INIT_ERROR = 17
RESULT = 18
CHUNK = 19
ERROR = 20
LOG = 21
BYE = 22
FORK = 32
FORKED = 33
EXITED = 34

AHEAD_MAX = 64
"""Executions that a worker takes ahead."""

AHEAD_BIT = 1 << 63
"""In the id of an execution that was sent ahead: it begins only with a token."""

HOST_TAGS = frozenset({HELLO, INVOKE, CANCEL, CREDIT, DRAIN, FORK})

TRACE_LEVEL, DEBUG_LEVEL, INFO_LEVEL, WARN_LEVEL, ERROR_LEVEL = range(5)

SHORT_TEXT_BYTES_MAX = 0xFFFF

_U16 = Struct("<H")
_U32 = Struct("<I")
_HELLO = Struct("<HIII")
_READY = Struct("<HIB")
_INVOKE = Struct("<QH")
_RESULT = Struct("<HI")
_LOG = Struct("<BI")

type Buffer = bytes | bytearray
type Invocation = tuple[int, str, str, str, str, str, str, bytes, bytes]


class FrameError(Exception):
    """Bytes that are no frame of this protocol. The connection is out of step after it."""


def decode_hello(data: Buffer, start: int, end: int) -> tuple[int, int, int, int]:
    """Version, longest payload, window and concurrency of a HELLO; the last three are 0 in another version's HELLO."""
    if end - start < _U16.size:
        raise FrameError("HELLO is truncated")
    (version,) = _U16.unpack_from(data, start)
    if version != ABI_VERSION:
        return version, 0, 0, 0
    if end - start < _HELLO.size:
        raise FrameError("HELLO is truncated")
    return _HELLO.unpack_from(data, start)


KNOWN_BYTES_MAX = 1024
"""Longest run of texts that is remembered for the next request."""

_known: bytes = b"\xff" * 16  # No text begins like this.
_known_bytes: int = 16
_known_texts: tuple[str, str, str, str, str] = ("", "", "", "", "")


def decode_invoke(data: Buffer, start: int, end: int) -> Invocation:
    """Time left in µs, execution id, function id, organization id, method, path, query, header block and body.

    It runs once for each execution. The five texts after the execution id are mostly those of the request before, and
    comparing them costs a fifth of decoding them. Each stands behind its length, so that equal bytes are equal texts.
    """
    try:
        timeout_us, length = _INVOKE.unpack_from(data, start)
        at = start + _INVOKE.size
        stop = at + length
        execution_id = data[at:stop].decode()
        if data.startswith(_known, stop):
            function_id, organization_id, method, path, query = _known_texts
            stop += _known_bytes
        else:
            first = stop
            at = stop + 2
            stop = at + (data[at - 2] | data[at - 1] << 8)
            function_id = data[at:stop].decode()
            at = stop + 2
            stop = at + (data[at - 2] | data[at - 1] << 8)
            organization_id = data[at:stop].decode()
            at = stop + 2
            stop = at + (data[at - 2] | data[at - 1] << 8)
            method = data[at:stop].decode()
            at = stop + 2
            stop = at + (data[at - 2] | data[at - 1] << 8)
            path = data[at:stop].decode()
            at = stop + 2
            stop = at + (data[at - 2] | data[at - 1] << 8)
            query = data[at:stop].decode()
            if stop <= end and stop - first <= KNOWN_BYTES_MAX:
                _remember(bytes(data[first:stop]), (function_id, organization_id, method, path, query))
        at = stop + 4
        stop = at + _U32.unpack_from(data, stop)[0]
    except (IndexError, StructError, UnicodeDecodeError) as cause:
        raise FrameError(f"INVOKE is malformed: {cause}") from cause
    # Nothing above has checked against the end of this frame; offsets only grow, so the last one speaks for all.
    if stop > end:
        raise FrameError("INVOKE is truncated")
    if type(data) is bytes:
        block = data[at:stop]
        body = data[stop:end]
    else:
        with memoryview(data) as view:
            block = bytes(view[at:stop])
            body = bytes(view[stop:end])
    return timeout_us, execution_id, function_id, organization_id, method, path, query, block, body


def _remember(texts: bytes, decoded: tuple[str, str, str, str, str]) -> None:
    global _known, _known_bytes, _known_texts
    _known, _known_bytes, _known_texts = texts, len(texts), decoded


def decode_headers(block: bytes) -> list[tuple[str, bytes]]:
    """Names and values of a header block, in the order they were sent.

    Raises `ValueError` where the block is malformed. It is read when a handler asks, too late for a fault.
    """
    headers: list[tuple[str, bytes]] = []
    at = 0
    while at < len(block):
        texts: list[bytes] = []
        for _ in range(2):
            start = at + 2
            at = start + int.from_bytes(block[at:start], "little")
            if at > len(block) or start > len(block):
                raise ValueError("the header block of the request is malformed")
            texts.append(block[start:at])
        headers.append((texts[0].decode("utf-8", "replace"), texts[1]))
    return headers


def decode_cancel(data: Buffer, start: int, end: int) -> int:
    """The reason of a CANCEL, 1 to 3."""
    if end - start != 1 or data[start] not in (1, 2, 3):
        raise FrameError("CANCEL is malformed")
    return data[start]


def decode_number(data: Buffer, start: int, end: int) -> int:
    """The payload of a CREDIT."""
    if end - start != _U32.size:
        raise FrameError("CREDIT is malformed")
    return _U32.unpack_from(data, start)[0]


def encode_headers(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A header block. Names and values are at most 65535 bytes each."""
    parts: list[bytes] = []
    for name, value in headers:
        parts += (_U16.pack(len(name)), name, _U16.pack(len(value)), value)
    return b"".join(parts)


def result_prefix(status: int, block: bytes) -> bytes:
    """What stands before the body in a RESULT."""
    return _RESULT.pack(status, len(block)) + block


def result_head(number: int, prefix: bytes, body_bytes: int, *, end: bool) -> bytes:
    """A RESULT up to its body."""
    return HEADER.pack(len(prefix) + body_bytes, RESULT | END if end else RESULT, number) + prefix


def encode_chunk(number: int, body: Buffer | memoryview, *, end: bool) -> bytes:
    """A CHUNK."""
    return HEADER.pack(len(body), CHUNK | END if end else CHUNK, number) + body


def encode_ready(max_concurrency: int, *, zygote: bool, sdk: str, ahead: int = 0) -> bytes:
    """READY. With `ahead` it says how many executions each of the zygote's workers takes ahead."""
    name = sdk.encode()
    payload = _READY.pack(ABI_VERSION, max_concurrency, zygote) + _U16.pack(len(name)) + name
    if ahead:
        payload += bytes((ahead,))
    return HEADER.pack(len(payload), READY, 0) + payload


def encode_failure(tag: int, number: int, kind: str, message: str, trace: str) -> bytes:
    """ERROR or INIT_ERROR. Texts that are not Unicode are escaped: an error must be told, whatever it says."""
    kind_bytes = kind.encode("utf-8", "backslashreplace")[:SHORT_TEXT_BYTES_MAX]
    message_bytes = message.encode("utf-8", "backslashreplace")
    trace_bytes = trace.encode("utf-8", "backslashreplace")
    payload = b"".join((
        _U16.pack(len(kind_bytes)), kind_bytes,
        _U32.pack(len(message_bytes)), message_bytes,
        _U32.pack(len(trace_bytes)), trace_bytes,
    ))  # fmt: skip
    return HEADER.pack(len(payload), tag, number) + payload


def encode_log(number: int, level: int, message: str, fields: bytes) -> bytes:
    """LOG. `fields` is a JSON object, or empty."""
    text = message.encode("utf-8", "backslashreplace")
    return HEADER.pack(_LOG.size + len(text) + len(fields), LOG, number) + _LOG.pack(level, len(text)) + text + fields


def encode_number(tag: int, number: int, value: int) -> bytes:
    """FORKED or EXITED."""
    return HEADER.pack(_U32.size, tag, number) + _U32.pack(value)


def encode_empty(tag: int) -> bytes:
    """BYE."""
    return HEADER.pack(0, tag, 0)
