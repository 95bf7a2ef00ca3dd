"""JSON out, without `json`.

`import json` takes 6 ms, half of a cold start, for `re` and what that imports, and a handler that returns a `dict` may
never import it. The accelerator under `json` is enough for encoding and is the same code, hence the same text. Where an
interpreter has no accelerator, `json` itself is used.

Text is compact and not escaped to ASCII, as in the SDKs of the other languages, so that one app answers the same bytes
in each of them. NaN and the infinities, which are not JSON, are refused.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    type Default = Callable[[Any], Any]
    type Encoder = Callable[[Any, int], tuple[str, ...]]


def _encoder(default: Default, *, ascii: bool = False) -> Encoder:
    try:
        from _json import encode_basestring, encode_basestring_ascii, make_encoder  # pyright: ignore
    except ImportError:
        from json import JSONEncoder

        encoder = JSONEncoder(ensure_ascii=ascii, allow_nan=False, separators=(",", ":"), default=default)
        return lambda value, _level: (encoder.encode(value),)
    # Markers (which find circles), default, encoder, indent, the two separators, sort_keys, skipkeys, allow_nan.
    text = encode_basestring_ascii if ascii else encode_basestring
    return make_encoder({}, default, text, None, ":", ",", False, False, False)


def _refuse(value: Any) -> Any:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if hasattr(kind, "model_dump"):
        hint = 'return its `.model_dump(mode="json")`'
    elif hasattr(kind, "__dataclass_fields__"):
        hint = "return `dataclasses.asdict()` of it"
    elif hasattr(kind, "isoformat"):
        hint = "return its `.isoformat()`"
    elif issubclass(kind, (bytes, bytearray, memoryview)):
        hint = "return bytes by themselves, or decode them"
    elif issubclass(kind, (set, frozenset)):
        hint = "return a list"
    else:
        hint = "return bytes, str, ignite.Response or a value that JSON can hold"
    raise TypeError(f"the answer holds a {name}, which is not JSON; {hint}")


_encode = _encoder(_refuse)


def to_json(value: Any) -> bytes:
    """The value as JSON.

    Raises `TypeError` where it holds something that JSON cannot, and `ValueError` for circles, NaN and the infinities.
    Only for the thread that answers: the encoder keeps the marks of the value it is in.
    """
    global _encode
    try:
        return "".join(_encode(value, 0)).encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8, but JSON can escape it.
        return "".join(_encoder(_refuse, ascii=True)(value, 0)).encode()
    except BaseException:
        # The marks of the value that failed are still set and would look like circles later.
        _encode = _encoder(_refuse)
        raise


def fields_to_json(fields: dict[str, Any]) -> bytes:
    """The fields of a log record as a JSON object; what JSON cannot hold is told by its `str`. Never raises."""
    if not fields:
        return b""
    try:
        return "".join(_encoder(str, ascii=True)(fields, 0)).encode()
    except Exception:
        pass
    try:
        return "".join(_encoder(str, ascii=True)({str(name): repr(fields[name]) for name in fields}, 0)).encode()
    except Exception:
        return b""
