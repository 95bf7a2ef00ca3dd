"""The scratch store of one execution."""

from __future__ import annotations

TEMP_STORE_BYTES_MAX = 64 * 1024 * 1024
"""What the keys and values of one execution's store may take together, in bytes."""


class TempStoreFull(Exception):
    """The scratch store of an execution would have grown past its 64 MiB."""


class TempStore:
    """Named bytes in memory that are gone when the execution is.

    Holds at most 64 MiB, keys and values together.
    """

    __slots__ = ("_bytes", "_values")

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._bytes = 0

    def put(self, key: str, value: bytes | bytearray | memoryview) -> None:
        """Keeps `value` under `key`, in place of what was there.

        Raises `TempStoreFull` where the store would hold more than 64 MiB; what it holds stays as it was.
        """
        if not isinstance(key, str):
            raise TypeError(f"a key of the temp store is a str, not {type(key).__name__}")
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError(f"the temp store keeps bytes, not {type(value).__name__}: encode the value first")
        value = bytes(value)
        total = self._bytes - self._size(key) + len(key.encode("utf-8", "surrogatepass")) + len(value)
        if total > TEMP_STORE_BYTES_MAX:
            raise TempStoreFull(
                f"{key!r} would bring the temp store to {total} bytes; it holds at most {TEMP_STORE_BYTES_MAX}"
            )
        self._values[key] = value
        self._bytes = total

    def get(self, key: str, default: bytes | None = None) -> bytes | None:
        """The bytes kept under `key`, or `default`."""
        return self._values.get(key, default)

    def delete(self, key: str) -> bool:
        """Forgets `key`; tells whether it was there."""
        self._bytes -= self._size(key)
        return self._values.pop(key, None) is not None

    def list(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix`, sorted."""
        return sorted(key for key in self._values if key.startswith(prefix))

    def _size(self, key: str) -> int:
        value = self._values.get(key)
        return 0 if value is None else len(key.encode("utf-8", "surrogatepass")) + len(value)
