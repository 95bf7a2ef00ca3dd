"""The one line that tells somebody who started a handler by hand how to serve it."""

from __future__ import annotations

import atexit
import os
import sys

ENV_WORKER_FD = "IGNITE_WORKER_FD"
ENV_WORKER_SOCKET = "IGNITE_WORKER_SOCKET"

_LINE = "{program}: this is an Ignite function, which a host serves: run `ignite run {folder}`\n"


def say(program: str, folder: str) -> None:
    """Writes the line to stderr."""
    sys.stderr.write(_LINE.format(program=program, folder=folder))


def register() -> None:
    """Arranges for the line at exit, where the program is a handler that was started as a script.

    It cannot be decided yet: the handler imports this package before it defines anything.
    """
    main = sys.modules.get("__main__")
    # Asked now: the interpreter takes `__file__` away before exit functions run.
    script = getattr(main, "__file__", None)
    if script and ENV_WORKER_FD not in os.environ and ENV_WORKER_SOCKET not in os.environ:
        atexit.register(_say_if_handler_was_run, main, os.path.relpath(script))


def _say_if_handler_was_run(main: object, script: str) -> None:
    # A file that imports `ignite.testing` is a test of its own handler and has said what it wants to do.
    if callable(getattr(main, "handler", None)) and "ignite.testing" not in sys.modules:
        folder, program = os.path.split(script)
        say(program, folder or ".")
