"""What a handler is told about its execution. Everything that costs is done when it is asked for."""

from __future__ import annotations

from _collections_abc import Mapping  # What `collections.abc` hands out, without importing `collections`.
from time import monotonic

from ignite._frames import decode_headers
from ignite._log import Log
from ignite._store import TempStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from ignite._log import Sink


_INFINITE = float("inf")
_HEX_DIGITS = b"0123456789abcdefABCDEF"


class _MultiMapping(Mapping[str, str]):
    """Names to values, where a name may occur several times."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        self._values = values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pairs()!r})"

    def pairs(self) -> list[tuple[str, str]]:
        """Every name with every value; a name that occurs twice stands twice."""
        return [(name, value) for name, values in self._values.items() for value in values]


class Headers(_MultiMapping):
    """Headers by name, in any case.

    `headers[name]` joins the values of a header that was sent several times with commas, as HTTP allows a proxy to do;
    `get_all` keeps them apart.
    """

    __slots__ = ()

    def __getitem__(self, name: str) -> str:
        name = name.lower()
        return ("; " if name == "cookie" else ", ").join(self._values[name])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def get_all(self, name: str) -> list[str]:
        """Each value of the header, in the order they were sent; empty where it was not sent."""
        return list(self._values.get(name.lower(), ()))


class Query(_MultiMapping):
    """Parameters of the query by name, decoded.

    `query[name]` is the first value; `get_all` gives all of them.
    """

    __slots__ = ()

    def __getitem__(self, name: str) -> str:
        return self._values[name][0]

    def get_all(self, name: str) -> list[str]:
        """Each value of the parameter, in their order; empty where there is none."""
        return list(self._values.get(name, ()))


class Context(dict[str, str]):
    """What a handler is told about its execution, and what it may use.

    As a `dict` it has exactly three keys: `execution_id`, `function_id` (`org/name`) and `organization_id`. The rest
    are attributes.
    """

    __slots__ = (
        "_block",
        "_cancelled",
        "_headers",
        "_log",
        "_number",
        "_query",
        "_sink",
        "_store",
        "deadline",
        "method",
        "path",
        "query_string",
    )

    method: str
    """HTTP method, as sent."""
    path: str
    """Path, as sent: percent-encoded, beginning with `/`."""
    query_string: str
    """Query without its `?`, as sent; empty where there is none."""
    deadline: float | None
    """When the execution is ended, on the clock of `time.monotonic()`; `None` where it has no limit."""

    def __init__(
        self,
        sink: Sink,
        number: int,
        timeout_us: int,
        execution_id: str,
        function_id: str,
        organization_id: str,
        method: str,
        path: str,
        query: str,
        block: bytes,
    ) -> None:
        self["execution_id"] = execution_id
        self["function_id"] = function_id
        self["organization_id"] = organization_id
        self.method = method
        self.path = path
        self.query_string = query
        self.deadline = monotonic() + timeout_us / 1e6 if timeout_us else None
        self._sink = sink
        self._number = number
        self._block = block
        self._cancelled = False
        self._headers: Headers | None = None
        self._query: Query | None = None
        self._log: Log | None = None
        self._store: TempStore | None = None

    @property
    def execution_id(self) -> str:
        """Id of this execution."""
        return self["execution_id"]

    @property
    def function_id(self) -> str:
        """Which app runs, as `org/name`."""
        return self["function_id"]

    @property
    def organization_id(self) -> str:
        """Whose app it is."""
        return self["organization_id"]

    @property
    def headers(self) -> Headers:
        """Headers of the request. Values are decoded as UTF-8, or as Latin-1 where they are not UTF-8."""
        if self._headers is None:
            self._headers = Headers((name, _header_text(value)) for name, value in decode_headers(self._block))
        return self._headers

    @property
    def query(self) -> Query:
        """Parameters of the query, decoded as forms encode them."""
        if self._query is None:
            self._query = Query(_query_pairs(self.query_string))
        return self._query

    def remaining(self) -> float:
        """Seconds until the deadline, at least 0; infinite where the execution has no limit."""
        return _INFINITE if self.deadline is None else max(0.0, self.deadline - monotonic())

    @property
    def cancelled(self) -> bool:
        """Whether the execution should stop: its time is up, the caller went away, or the host shuts down.

        A long loop in a plain `def` handler asks here; an `async def` handler is cancelled as a task as well.
        """
        if not self._cancelled:
            self._sink.poll()
        return self._cancelled or (self.deadline is not None and monotonic() >= self.deadline)

    @property
    def log(self) -> Log:
        """Writes log records of this execution."""
        if self._log is None:
            self._log = Log(self._sink, self._number)
        return self._log

    @property
    def temp_store(self) -> TempStore:
        """Scratch space in memory, gone with the execution; at most 64 MiB."""
        if self._store is None:
            self._store = TempStore()
        return self._store

    def __repr__(self) -> str:
        return f"Context({dict.__repr__(self)}, {self.method} {self.path})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Sent to another process it is the dict that it looks like: the rest belongs to this process.
        return dict, (dict(self),)


def _header_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _query_pairs(query: str) -> list[tuple[str, str]]:
    # As `urllib.parse.parse_qsl`, whose import costs more than a cold start may.
    pairs: list[tuple[str, str]] = []
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            pairs.append((_form_text(name), _form_text(value)))
    return pairs


def _form_text(text: str) -> str:
    text = text.replace("+", " ")
    if "%" not in text:
        return text
    first, *rest = text.encode("utf-8", "surrogatepass").split(b"%")
    parts = [first]
    for part in rest:
        digits = part[:2]
        if len(digits) == 2 and not digits.strip(_HEX_DIGITS):
            parts += (bytes((int(digits, 16),)), part[2:])
        else:
            # A percent sign that encodes nothing stands for itself.
            parts += (b"%", part)
    return b"".join(parts).decode("utf-8", "replace")
