"""What a handler may return, and what becomes of it on the wire."""

from __future__ import annotations

from ignite._frames import SHORT_TEXT_BYTES_MAX, encode_headers, result_prefix
from ignite._to_json import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
    from typing import Any

    type HeaderValue = str | bytes | int
    type HeaderValues = HeaderValue | list[HeaderValue] | tuple[HeaderValue, ...]
    type Stream = Iterator[Any] | AsyncIterator[Any]


_NOTHING: Any = object()

OCTETS = (b"content-type", b"application/octet-stream")
TEXT = (b"content-type", b"text/plain; charset=utf-8")
JSON = (b"content-type", b"application/json")

_PREFIXES: dict[tuple[bytes, bytes], bytes] = {
    kind: result_prefix(200, encode_headers([kind])) for kind in (OCTETS, TEXT, JSON)
}

_TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"

_BODILESS = (204, 205, 304)
"""Statuses whose answers have no body in HTTP."""


class Response:
    """An answer with a status and headers.

    `body` is bytes, text, a value for JSON, or an iterator (also an async one) of the parts of a stream, and sets the
    content type as if it had been returned by itself; `headers` may say another. A header with several values is given
    a list of them. Without a body the answer is empty.
    """

    __slots__ = ("_pairs", "body", "status")

    def __init__(
        self,
        body: Any = _NOTHING,
        status: int = 200,
        headers: Mapping[str, HeaderValues] | Iterable[tuple[str, HeaderValues]] | None = None,
    ) -> None:
        # `http.HTTPStatus` is an int; a bool is one as well, but nobody means it.
        if not isinstance(status, int) or isinstance(status, bool):
            raise TypeError(f"the status of a response is an int, not {type(status).__name__}")
        if not 200 <= status <= 599:
            raise ValueError(f"the status of a response is between 200 and 599, not {int(status)}")
        self.status = int(status)
        self.body = body
        self._pairs = _header_pairs(headers)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers, names in lower case. The content type that follows from the body is not among them."""
        return [(name.decode(), value.decode("utf-8", "replace")) for name, value in self._pairs]

    def __repr__(self) -> str:
        body = "" if self.body is _NOTHING else f"{self.body!r}, "
        return f"Response({body}status={self.status}, headers={self.headers!r})"


def to_answer(result: Any) -> tuple[bytes, bytes | Stream]:
    """What stands before the body in a RESULT, and the body: bytes, or the iterator of a stream.

    Raises `TypeError` or `ValueError` where the result cannot be an answer.
    """
    if isinstance(result, Response):
        return _response_to_answer(result)
    kind, body = _to_body(result)
    return _PREFIXES[kind], body


def _response_to_answer(response: Response) -> tuple[bytes, bytes | Stream]:
    pairs = response._pairs
    body = response.body
    if body is _NOTHING or (body is None and response.status in _BODILESS):
        return result_prefix(response.status, encode_headers(pairs)), b""
    kind, body = _to_body(body)
    if not any(name == b"content-type" for name, _ in pairs):
        pairs = [kind, *pairs]
    return result_prefix(response.status, encode_headers(pairs)), body


def _to_body(value: Any) -> tuple[tuple[bytes, bytes], bytes | Stream]:
    kind = type(value)
    if kind is dict or kind is list:
        return JSON, to_json(value)
    if kind is bytes:
        return OCTETS, value
    if isinstance(value, str):
        return TEXT, value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return OCTETS, bytes(value)
    if isinstance(value, Response):
        raise TypeError("the body of an ignite.Response cannot be an ignite.Response")
    if not isinstance(value, (dict, list, tuple)):
        if hasattr(kind, "__next__"):
            return OCTETS, value
        if hasattr(kind, "__aiter__"):
            return OCTETS, value.__aiter__()
    return JSON, to_json(value)


def to_part(part: Any) -> bytes:
    """One part of a stream as bytes."""
    if type(part) is bytes:
        return part
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, (bytes, bytearray, memoryview)):
        return bytes(part)
    raise TypeError(f"a streamed answer is made of str and bytes, but the handler yielded {type(part).__name__}")


def _header_pairs(headers: Any) -> list[tuple[bytes, bytes]]:
    if not headers:
        return []
    pairs: list[tuple[bytes, bytes]] = []
    for name, values in headers.items() if hasattr(headers, "items") else headers:
        if not isinstance(name, str):
            raise TypeError(f"the name of a header is a str, not {type(name).__name__}")
        lower = name.lower()
        if not lower or lower.strip(_TOKEN) or len(lower) > SHORT_TEXT_BYTES_MAX:
            raise ValueError(f"{name!r} is not the name of a header")
        pairs += (
            (lower.encode(), _header_value(name, value))
            for value in (values if isinstance(values, (list, tuple)) else (values,))
        )
    return pairs


def _header_value(name: str, value: Any) -> bytes:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(int(value))
    if isinstance(value, str):
        value = value.encode()
    elif not isinstance(value, bytes):
        raise TypeError(f"the value of header {name!r} is a str, not {type(value).__name__}")
    value = value.strip(b" \t")
    # A line break would end the header and begin whatever stands after it.
    if any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in value):
        raise ValueError(f"the value of header {name!r} holds a control character")
    if len(value) > SHORT_TEXT_BYTES_MAX:
        raise ValueError(f"the value of header {name!r} is {len(value)} bytes; at most {SHORT_TEXT_BYTES_MAX} fit")
    return value
