"""The worker process, from its start to the loop that serves.

HELLO is waited for, the handler is loaded, READY or INIT_ERROR is sent; then the process is a zygote, or serves by
itself where it cannot be forked. See `core/abi/FRAMES.md`.
"""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]
import faulthandler
import gc
import os
import sys
from _socket import AF_UNIX, SOCK_STREAM
from _socket import socket as Socket

from ignite import _failure, _log
from ignite._connection import Connection, Loading, leave
from ignite._frames import ABI_VERSION, AHEAD_MAX, INIT_ERROR, WARN_LEVEL, encode_failure, encode_ready
from ignite._hint import ENV_WORKER_FD, ENV_WORKER_SOCKET, say
from ignite._load import LoadError, is_async, load
from ignite._sync import SyncWorker
from ignite._version import VERSION
from ignite._zygote import Zygote, count_threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, NoReturn

    from ignite._load import Handler

ENV_ENTRYPOINT = "IGNITE_ENTRYPOINT"
ENV_WARM_FD = "IGNITE_WARM_FD"
"""Where a worker that was started without an app is told which one it is."""

ENV_ZYGOTE = "IGNITE_ZYGOTE"
"""`0` keeps the worker from being a zygote: it serves by itself."""

NICE = 5
"""How much nicer than its host a worker is, `nice(2)`: a third of its weight. That of other languages is the same."""

STATUS_NOT_LOADED = 1
"""Exit status after INIT_ERROR."""


def main(arguments: list[str]) -> NoReturn:
    """Runs a worker for the app in the folder that the one argument names; without one, for the app it is told."""
    sock = _open_socket()
    warm = os.environ.pop(ENV_WARM_FD, None)
    if sock is None or len(arguments) != (2 if warm is None else 1):
        say("ignite", ".")
        sys.exit(2)
    _prepare_process()
    if warm is None:
        folder = arguments[1]
        entrypoint = os.environ.pop(ENV_ENTRYPOINT, "") or "handler.py"
    else:
        from ignite._warm import wait

        folder, entrypoint = wait(int(warm))
    # The worker's own byte code has been written beside it by now; the folder of an app is left as it is.
    sys.dont_write_bytecode = True
    folder = os.path.realpath(folder)
    sys.argv[:] = [os.path.join(folder, entrypoint)]
    _failure.folder = folder

    connection = Connection(sock)
    version = connection.receive_hello()
    if version != ABI_VERSION:
        _refuse(connection, "abi_version", f"the host speaks version {version}, this worker version {ABI_VERSION}")
    _log.sink = Loading(connection)
    try:
        handler = load(folder, entrypoint)
        asynchronous = is_async(handler)
    except LoadError as error:
        _refuse(connection, error.kind, str(error), error.trace)
    if asynchronous:
        # Workers inherit it; each would import it by itself otherwise, for 40 ms.
        __import__("asyncio")
        _import_late("ignite._async")
        sys.modules["ignite._async"].rehearse()
    connection = _get_ready(connection, connection.max_concurrency if asynchronous else 1)
    _serve(connection, handler, asynchronous)


def _open_socket() -> Socket | None:
    # Taken out of the environment: what the handler starts has no business with it.
    number = os.environ.pop(ENV_WORKER_FD, None)
    path = os.environ.pop(ENV_WORKER_SOCKET, None)
    try:
        if number is not None:
            os.set_inheritable(int(number), False)
            sock = Socket(fileno=int(number))
        elif path is not None:
            sock = Socket(AF_UNIX, SOCK_STREAM)
            sock.connect(path)
        else:
            return None
    except (OSError, ValueError) as cause:
        sys.stderr.write(f"ignite: the socket of the host cannot be opened: {cause}\n")
        return None
    sock.setblocking(True)
    return sock


def _prepare_process() -> None:
    # Where the terminal interrupts host and workers alike, the host decides; programs that the handler starts are not
    # affected, as they would be by ignoring the signal.
    _signal.signal(_signal.SIGINT, lambda *_: None)
    try:
        # A crash in a library written in C leaves the stack in the log.
        faulthandler.enable()
    except (AttributeError, OSError, RuntimeError, ValueError):
        pass
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(line_buffering=True, errors="backslashreplace")  # pyright: ignore
    # `site`, which is not imported, would have defined these two.
    import builtins
    from _sitebuiltins import Quitter

    builtins.exit = Quitter("exit", "Ctrl-D")  # pyright: ignore
    builtins.quit = Quitter("quit", "Ctrl-D")  # pyright: ignore
    sys.meta_path.insert(0, _LoggingFinder)


class _LoggingFinder:
    """Sees `logging` being imported, whoever does it and whenever, so that its records reach the host from then on.

    Importing it in every worker would add 12 ms to a cold start for the handlers that never log.
    """

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "logging":
            return None
        sys.meta_path.remove(cls)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader.exec_module = cls._then_install(spec.loader.exec_module)  # pyright: ignore
                return spec
        return None

    @staticmethod
    def _then_install(execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        def execute_and_install(module: ModuleType) -> None:
            execute(module)
            _import_late("ignite._logging")
            sys.modules["ignite._logging"].install()

        return execute_and_install


def _import_late(name: str) -> None:
    """Imports a module of the worker that only some handlers need. Its byte code is kept, like that of the others."""
    sys.dont_write_bytecode = False
    try:
        __import__(name)
    finally:
        sys.dont_write_bytecode = True


def _get_ready(connection: Connection, max_concurrency: int) -> Connection:
    """Sends READY, and is a zygote where the process can be forked; returns in each child what it serves on."""
    wanted = os.environ.pop(ENV_ZYGOTE, "") != "0"
    threads = count_threads()
    zygote = wanted and threads == 1
    # What the import has made is not looked at again, and its pages stay shared with those who are forked.
    gc.freeze()
    if wanted and threads > 1:
        connection.log(
            0,
            WARN_LEVEL,
            f"importing the handler started {threads - 1} more thread(s), so that the process cannot be forked; "
            "it serves alone. Start threads in the handler instead",
            b"",
        )
    takes_ahead = zygote and max_concurrency == 1 and hasattr(os, "eventfd_read")
    ahead = AHEAD_MAX if takes_ahead else 0
    ready = encode_ready(max_concurrency, zygote=zygote, sdk=f"ignite-python/{VERSION}", ahead=ahead)
    if not zygote:
        connection.send(ready)
        gc.enable()
        return connection
    # Made first: a FORK may come the moment READY is read.
    parent = Zygote(connection)
    connection.send(ready)
    return parent.serve()


def _serve(connection: Connection, handler: Handler, asynchronous: bool) -> NoReturn:
    try:
        # A worker that is woken waits its turn and does not interrupt the host in the middle of a batch: with sixteen
        # workers on two cores a request then costs a quarter less processor time. Not before: whoever waits for a start
        # or a fork waits for this process alone.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        # Handlers that compute keep neither the host's clocks nor its probes waiting, and get all that it leaves.
        os.nice(NICE)
    except (AttributeError, OSError):
        pass
    connection.disown_in_forks()
    if asynchronous:
        from ignite._async import AsyncWorker

        worker = AsyncWorker(connection, handler)
    else:
        worker = SyncWorker(connection, handler)
    _log.sink = worker
    worker.serve()


def _refuse(connection: Connection, kind: str, message: str, trace: str = "") -> NoReturn:
    connection.send(encode_failure(INIT_ERROR, 0, kind, message, trace))
    leave(STATUS_NOT_LOADED)
