"""Finding and checking the handler. Everything that is wrong with it is told with the file and line to look at."""

from __future__ import annotations

import os
import sys

from ignite import _failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

    type Handler = Callable[[bytes, Any], Any]

CONTRACT = "write `def handler(payload, ctx):`"

_ARGUMENTS = 2
_FUNCTION = type(lambda: None)
_VARARGS, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x80, 0x200
"""Bits of `co_flags`, as `inspect` names them; importing it takes 12 ms."""


class LoadError(Exception):
    """The handler cannot be loaded. The message is for its author."""

    def __init__(self, kind: str, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.trace = trace


def load(folder: str, entrypoint: str) -> Handler:
    """Imports the entry point, a path relative to `folder`, and returns its handler.

    Raises `LoadError` where that fails in any way.
    """
    path = os.path.normpath(os.path.join(folder, entrypoint))
    if not path.startswith(f"{folder}/") or not os.path.isfile(path):
        raise LoadError("entrypoint_missing", f"{entrypoint}: there is no such file in the app")
    module = _import_file(folder, path, entrypoint)
    handler = module.__dict__.get("handler")
    if handler is None:
        raise LoadError("handler_missing", _missing_handler(module, entrypoint))
    if not callable(handler) or isinstance(handler, type):
        found = "a class" if isinstance(handler, type) else f"of type {type(handler).__name__}"
        line = _line_of_name(path)
        raise LoadError(
            "handler_not_callable", f"{entrypoint}:{line}: handler is {found}, but must be a function; {CONTRACT}"
        )
    problem = signature_problem(handler)
    if problem:
        code = _code_of(handler)
        where = place(code.co_filename, code.co_firstlineno) if code else f"{entrypoint}:{_line_of_name(path)}"
        raise LoadError("handler_signature", f"{where}: {problem}; {CONTRACT}")
    return handler


def _import_file(folder: str, path: str, entrypoint: str) -> ModuleType:
    base, name = _module_of(folder, path)
    sys.path.insert(0, folder)
    if base != folder:
        # Files next to the entry point are found first, as they are when Python is given the file to run.
        sys.path.insert(0, base)
    vendor = os.path.join(folder, "vendor")
    if os.path.isdir(vendor):
        # Behind the standard library, where `site-packages` stands: old backports must not hide what they port.
        sys.path.append(vendor)
    try:
        __import__(name)
    except BaseException as error:
        raise _import_error(error, folder) from None
    module = sys.modules[name]
    if os.path.realpath(getattr(module, "__file__", None) or "") != os.path.realpath(path):
        raise LoadError(
            "entrypoint_hidden", f"{entrypoint}: a module of Python has the name `{name}`; give the file another name"
        )
    return module


def _module_of(folder: str, path: str) -> tuple[str, str]:
    """The folder to search and the name to import: packages are entered from above, so that relative imports work."""
    base, file = os.path.split(path)
    name = file.removesuffix(".py")
    while base != folder and os.path.isfile(os.path.join(base, "__init__.py")):
        base, package = os.path.split(base)
        name = f"{package}.{name}"
    return base, name


def _import_error(error: BaseException, folder: str) -> LoadError:
    kind = _failure.kind_of(error)
    trace = _failure.format_trace(error)
    if isinstance(error, SyntaxError) and error.filename:
        return LoadError(kind, f"{place(error.filename, error.lineno or 1)}: {error.msg}", trace)
    message = _failure.message_of(error)
    if isinstance(error, SystemExit):
        message = message.replace("the handler called", "the module called", 1)
    if isinstance(error, ModuleNotFoundError):
        message += "; is it in requirements.txt or pyproject.toml?"
    where = ""
    frames = _failure.user_traceback(error)
    while frames is not None:
        filename = frames.tb_frame.f_code.co_filename
        # The last line of the author's own code, not of a library that it called.
        if filename.startswith(f"{folder}/") and not filename.startswith(f"{folder}/vendor/"):
            where = f"{place(filename, frames.tb_lineno)}: "
        frames = frames.tb_next
    return LoadError(kind, where + message, trace)


def place(filename: str, line: int) -> str:
    """File and line, relative to the app."""
    if _failure.folder is not None:
        filename = filename.removeprefix(f"{_failure.folder}/")
    return f"{filename}:{line}"


def _missing_handler(module: ModuleType, entrypoint: str) -> str:
    for name, value in module.__dict__.items():
        code = getattr(value, "__code__", None)
        if code is not None and value.__module__ == module.__name__ and signature_problem(value) is None:
            return (
                f"{place(code.co_filename, code.co_firstlineno)}: there is no `handler`; "
                f"is `{name}` meant? Give it that name"
            )
    return f"{entrypoint}:1: there is no top-level `handler`; {CONTRACT}"


def _line_of_name(path: str) -> int:
    try:
        with open(path, "rb") as file:
            for line, text in enumerate(file, 1):
                if text.split(b"=")[0].split(b":")[0].strip() in (b"handler", b"class handler"):
                    return line
    except OSError:
        pass
    return 1


def signature_problem(handler: Handler) -> str | None:
    """Why the handler cannot be called with a payload and a context; `None` where it can."""
    if not isinstance(handler, _FUNCTION):
        return _signature_problem_by_inspection(handler)
    code = handler.__code__
    keywords = handler.__kwdefaults__ or {}
    for name in code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]:
        if name not in keywords:
            return f"handler needs the keyword argument `{name}`, which nobody passes"
    required = code.co_argcount - len(handler.__defaults__ or ())
    if required <= _ARGUMENTS and (code.co_argcount >= _ARGUMENTS or code.co_flags & _VARARGS):
        return None
    count = required if required > _ARGUMENTS else code.co_argcount
    return f"handler takes {count or 'no'} argument{'' if count == 1 else 's'}, but is called with two"


def _signature_problem_by_inspection(handler: Handler) -> str | None:
    import inspect

    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        # Written in C without a signature: calling it will tell.
        return None
    try:
        signature.bind(b"", None)
    except TypeError as cause:
        return f"handler is called with a payload and a context, but: {cause}"
    return None


def is_async(handler: Handler) -> bool:
    """Whether calling the handler makes a coroutine or an async generator, as far as can be told without calling it.

    Decorators are looked through (`__wrapped__`, `functools.partial`).
    """
    for _ in range(32):
        code = _code_of(handler)
        if code is not None and code.co_flags & (_COROUTINE | _ASYNC_GENERATOR):
            return True
        inner = getattr(handler, "__wrapped__", None) or getattr(handler, "func", None)
        if not callable(inner):
            return False
        handler = inner
    return False


def _code_of(handler: Any) -> CodeType | None:
    for function in (handler, getattr(type(handler), "__call__", None)):  # noqa: B004
        code = getattr(function, "__code__", None)
        if hasattr(code, "co_firstlineno"):
            return code
    return None
