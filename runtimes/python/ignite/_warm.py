"""A worker that waits for its app: the interpreter is up and what handlers usually import is imported.

The host tells it once which app it is, and from there on it starts like any other. See docs/reference/warm.md.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from _socket import socket as Socket

from ignite._connection import leave_at_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

PRELOADED = (
    "asyncio", "base64", "collections", "contextlib", "dataclasses", "datetime", "decimal", "email.message", "enum",
    "functools", "hashlib", "hmac", "http.client", "inspect", "io", "itertools", "json", "logging", "math", "os.path",
    "pathlib", "random", "re", "secrets", "select", "socket", "ssl", "string", "tempfile", "threading", "time",
    "traceback", "types", "typing", "urllib.parse", "urllib.request", "uuid", "warnings", "zoneinfo",
)  # fmt: skip
"""What handlers and the libraries they bring import most. Nothing here starts a thread or opens anything."""

LATE = ("ignite._async", "ignite._logging", "ignite._zygote")
"""Modules of the worker that some apps need."""

RECEIVE_BYTES = 64 * 1024


def wait(descriptor: int) -> tuple[str, str]:
    """Gets everything ready, tells the host, and waits for the app: returns its folder and its entry point.

    Sets environment and current directory to those of the app. Ends the process where the host goes before it has
    said which app.
    """
    os.set_inheritable(descriptor, False)
    control = Socket(fileno=descriptor)
    control.setblocking(True)
    for name in (*PRELOADED, *LATE):
        __import__(name)
    # Who reads these for the first time pays for building what is behind them.
    json.loads(json.dumps({"a": [1, 2.5, None, True, "b"]}))
    gc.freeze()
    modules = sorted({name.partition(".")[0] for name in sys.modules} - {"__main__", "ignite"})
    try:
        control.sendall(json.dumps({"modules": modules}).encode() + b"\n")
        text = bytearray()
        while not text.endswith(b"\n"):
            piece = control.recv(RECEIVE_BYTES)
            if not piece:
                leave_at_once()
            text += piece
    except OSError:
        leave_at_once()
    control.close()
    order = json.loads(text)
    _become(order["env"])
    os.chdir(order["folder"])
    return order["folder"], order["entrypoint"]


def _become(env: dict[str, str]) -> None:
    """Takes on the environment of the app. The host starts apps anew whose variables count before Python does."""
    os.environ.clear()
    os.environ.update(env)
    if "TZ" in env:
        time: ModuleType = sys.modules["time"]
        time.tzset()
