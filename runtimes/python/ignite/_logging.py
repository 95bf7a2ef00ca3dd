"""Records of the standard `logging` go to the host, with the execution they belong to.

The handler on the root logger gives way to handlers that an author configures. `logging.basicConfig` does nothing where
the root logger has a handler, so that the author's usual `basicConfig(level=INFO)` would be lost; here it applies level
and format to our handler, and steps aside only where it is told where to write.
"""

from __future__ import annotations

import logging as _std
from typing import Any

from ignite import _log
from ignite._frames import DEBUG_LEVEL, ERROR_LEVEL, INFO_LEVEL, TRACE_LEVEL, WARN_LEVEL

# What every record has; anything else came by `extra=`.
_OWN = frozenset(vars(_std.makeLogRecord({}))) | {"message", "asctime"}


class HostHandler(_std.Handler):
    """Sends records to the host."""

    def emit(self, record: _std.LogRecord) -> None:
        """Sends one record; its logger and its `extra` become fields."""
        to = _log.sink
        if to is None or self._is_left_to_others(record.name):
            return
        try:
            fields: dict[str, Any] = {"logger": record.name}
            fields.update((name, value) for name, value in vars(record).items() if name not in _OWN)
            _log.emit(to, to.current, _level(record.levelno), self.format(record), fields)
        except Exception:
            self.handleError(record)

    def _is_left_to_others(self, name: str) -> bool:
        """Whether the author has a handler for this logger, which then is the only one."""
        logger = _std.root if name == _std.root.name else _std.root.manager.loggerDict.get(name, _std.root)
        while isinstance(logger, _std.Logger):
            if any(not isinstance(handler, (HostHandler, _std.NullHandler)) for handler in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False


def _level(number: int) -> int:
    if number >= _std.ERROR:
        return ERROR_LEVEL
    if number >= _std.WARNING:
        return WARN_LEVEL
    if number >= _std.INFO:
        return INFO_LEVEL
    return DEBUG_LEVEL if number >= _std.DEBUG else TRACE_LEVEL


def install() -> None:
    """Adds the handler to the root logger and teaches `basicConfig` about it."""
    root = _std.getLogger()
    ours = HostHandler()
    root.addHandler(ours)
    original = _std.basicConfig

    def basic_config(**options: Any) -> None:
        if root.handlers != [ours]:
            original(**options)
        elif any(options.get(name) is not None for name in ("filename", "stream", "handlers")):
            root.removeHandler(ours)
            original(**options)
        else:
            # Level and logger travel beside the message, so that it need not say them again.
            plain = {"{": "{message}", "$": "$message"}.get(options.get("style", "%"), "%(message)s")
            ours.setFormatter(None)
            original(**{"format": plain, **options, "handlers": [ours], "force": True})

    basic_config.__doc__ = original.__doc__
    _std.basicConfig = basic_config
