"""Plays the host: starts workers as a host does, and speaks the host's half of the protocol.

Every wait has a bound, `SECONDS_MAX`; a worker that does not answer fails the test instead of stopping it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path
from typing import Any

# The runtime host embeds the folder of the package; no byte code of a test may lie in it.
sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SECONDS_MAX = 30.0

type Files = Path | dict[str, str] | str

HELLO, INVOKE, CANCEL, CREDIT, DRAIN = 1, 2, 3, 4, 5
READY, INIT_ERROR, RESULT, CHUNK, ERROR, LOG, BYE = 16, 17, 18, 19, 20, 21, 22
FORK, FORKED, EXITED = 32, 33, 34
NAMES = {number: name for name, number in list(globals().items()) if name.isupper() and isinstance(number, int)}


def short(text: str) -> bytes:
    """A short text."""
    return struct.pack("<H", len(text.encode())) + text.encode()


def header_block(headers: list[tuple[str, bytes]]) -> bytes:
    """A header block without its length."""
    return b"".join(short(name) + struct.pack("<H", len(value)) + value for name, value in headers)


def frame(kind: int, number: int = 0, payload: bytes = b"", flags: int = 0) -> bytes:
    """Any frame."""
    return struct.pack("<IBBHQ", len(payload), kind, flags, 0, number) + payload


def hello(version: int = 1, frame_bytes_max: int = 32 << 20, window: int = 256 << 10, concurrency: int = 64) -> bytes:
    """HELLO."""
    return frame(HELLO, 0, struct.pack("<HIII", version, frame_bytes_max, window, concurrency))


def invoke(
    number: int,
    body: bytes = b"",
    *,
    timeout_us: int = 0,
    ids: tuple[str, str, str] = ("01J0000000000000000000000Z", "acme/hello", "acme"),
    method: str = "POST",
    path: str = "/",
    query: str = "",
    headers: list[tuple[str, bytes]] | None = None,
) -> bytes:
    """INVOKE."""
    block = header_block(headers or [])
    texts = b"".join(short(text) for text in (*ids, method, path, query))
    payload = struct.pack("<Q", timeout_us) + texts + struct.pack("<I", len(block)) + block + body
    return frame(INVOKE, number, payload, 1)


class Got:
    """A frame from the worker, its payload read."""

    def __init__(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        self.kind, self.end, self.number = kind, flags == 1, number
        self.name = NAMES[kind]
        reader = Reader(payload)
        if kind == READY:
            self.version, self.concurrency, self.zygote = struct.unpack("<HIB", reader.bytes(7))
            self.sdk = reader.short()
            self.ahead = reader.bytes(1)[0] if reader.rest else 0
        elif kind in (INIT_ERROR, ERROR):
            self.type, self.message, self.trace = reader.short(), reader.long().decode(), reader.long().decode()
        elif kind == RESULT:
            (self.status,) = struct.unpack("<H", reader.bytes(2))
            block = Reader(reader.long())
            self.headers: list[tuple[str, bytes]] = []
            while block.rest:
                self.headers.append((block.short(), block.bytes(int.from_bytes(block.bytes(2), "little"))))
            self.body = reader.bytes(len(reader.rest))
        elif kind == CHUNK:
            self.body = reader.bytes(len(reader.rest))
        elif kind == LOG:
            self.level = reader.bytes(1)[0]
            self.message = reader.long().decode()
            fields = reader.bytes(len(reader.rest))
            self.fields = json.loads(fields) if fields else {}
        elif kind in (FORKED, EXITED):
            (self.value,) = struct.unpack("<I", reader.bytes(4))
        else:
            assert kind == BYE, kind
        assert not reader.rest, f"{self.name} has trailing bytes"

    @property
    def content_type(self) -> str:
        """The content type of a RESULT."""
        return dict(self.headers)["content-type"].decode()

    def __repr__(self) -> str:
        return f"Got({vars(self)!r})"


class Reader:
    """Reads a payload from its beginning."""

    def __init__(self, rest: bytes) -> None:
        self.rest = rest

    def bytes(self, count: int) -> bytes:
        assert count <= len(self.rest), "the payload is truncated"
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def short(self) -> str:
        return self.bytes(int.from_bytes(self.bytes(2), "little")).decode()

    def long(self) -> bytes:
        return self.bytes(int.from_bytes(self.bytes(4), "little"))


class Link:
    """The host's end of one socket."""

    def __init__(self, sock: socket.socket, stdout: int, stderr: int) -> None:
        self.sock = sock
        sock.settimeout(SECONDS_MAX)
        self.outputs = {"stdout": stdout, "stderr": stderr}
        self.buffer = b""
        self.logs: list[Got] = []

    def send(self, *frames: bytes) -> None:
        self.sock.sendall(b"".join(frames))

    def receive(self) -> Got | None:
        """The next frame; None where the worker has closed."""
        while True:
            if len(self.buffer) >= 16:
                length, kind, flags, reserved, number = struct.unpack_from("<IBBHQ", self.buffer)
                assert flags in (0, 1)
                assert reserved == 0
                if len(self.buffer) >= 16 + length:
                    payload, self.buffer = self.buffer[16 : 16 + length], self.buffer[16 + length :]
                    return Got(kind, flags, number, payload)
            try:
                piece = self.sock.recv(1 << 20)
            except ConnectionResetError:
                piece = b""
            if not piece:
                assert not self.buffer, "the worker closed in the middle of a frame"
                return None
            self.buffer += piece

    def expect(self, kind: int, number: int | None = None) -> Got:
        """The next frame that is no LOG (which are kept in `logs`), of this kind and id."""
        while True:
            got = self.receive()
            assert got is not None, f"the worker closed instead of sending {NAMES[kind]}: {self.read('stderr')}"
            if got.kind != LOG or kind == LOG:
                break
            self.logs.append(got)
        assert got.kind == kind, f"expected {NAMES[kind]}, got {got}"
        assert number is None or got.number == number, f"expected id {number}, got {got}"
        return got

    def call(self, body: bytes = b"", number: int = 1, **fields: Any) -> Got:
        """Invokes and returns the complete RESULT."""
        self.send(invoke(number, body, **fields))
        got = self.expect(RESULT, number)
        assert got.end
        return got

    def fail(self, body: bytes = b"", number: int = 1) -> Got:
        """Invokes and returns the ERROR."""
        self.send(invoke(number, body))
        return self.expect(ERROR, number)

    def expect_closed(self) -> None:
        got = self.receive()
        assert got is None, f"expected the worker to close, got {got}"

    def read(self, stream: str) -> str:
        """What the worker has printed, up to its end."""
        parts: list[bytes] = []
        while piece := os.read(self.outputs[stream], 1 << 16):
            parts.append(piece)
        return b"".join(parts).decode()

    def read_line(self, stream: str) -> str:
        """The next line that the worker prints."""
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(self.outputs[stream], 1)
            assert piece, f"{stream} ended after {line!r}"
            line += piece
        return line.decode()

    def close(self) -> None:
        self.sock.close()
        for descriptor in self.outputs.values():
            os.close(descriptor)


class Worker(Link):
    """A worker process that the host started itself."""

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        super().__init__(sock, os.dup(process.stdout.fileno()), os.dup(process.stderr.fileno()))
        process.stdout.close()
        process.stderr.close()
        self.process = process

    def wait(self) -> int:
        """The exit status."""
        return self.process.wait(SECONDS_MAX)

    def fork(self, number: int = 1, *tokens: int) -> Child:
        """Sends FORK, with the tokens of executions that are sent ahead where there are any, and waits for FORKED."""
        ours, theirs = socket.socketpair()
        stdout, stdout_theirs = os.pipe()
        stderr, stderr_theirs = os.pipe()
        descriptors = [theirs.fileno(), stdout_theirs, stderr_theirs, *tokens]
        socket.send_fds(self.sock, [frame(FORK, number)], descriptors)
        theirs.close()
        os.close(stdout_theirs)
        os.close(stderr_theirs)
        return Child(ours, stdout, stderr, self, number)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(SECONDS_MAX)
        super().close()


class Child(Link):
    """A worker that a zygote forked."""

    def __init__(self, sock: socket.socket, stdout: int, stderr: int, zygote: Worker, number: int) -> None:
        super().__init__(sock, stdout, stderr)
        self.zygote = zygote
        self.number = number
        self.pid = zygote.expect(FORKED, number).value

    def wait(self) -> int:
        """The exit status, or minus the signal, as the zygote reports it."""
        return os.waitstatus_to_exitcode(self.zygote.expect(EXITED, self.number).value)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


class Case(unittest.TestCase):
    """A test that starts workers."""

    home: Path

    @classmethod
    def setUpClass(cls) -> None:
        """Lays the package out as a host does: a folder of its own, in which the worker may keep its byte code."""
        cls.home = Path(tempfile.mkdtemp(prefix="ignite-python-"))
        cls.addClassCleanup(shutil.rmtree, cls.home)
        shutil.copytree(ROOT / "ignite", cls.home / "ignite", ignore=shutil.ignore_patterns("__pycache__"))

    def app(self, files: Files) -> Path:
        """A folder with these files; a text alone is its handler.py, and a path is a folder that stands."""
        if isinstance(files, Path):
            return files
        folder = Path(tempfile.mkdtemp(prefix="app-", dir=self.home))
        for name, text in ({"handler.py": files} if isinstance(files, str) else files).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(textwrap.dedent(text))
        return folder

    def start(self, files: Files, *, greeting: bytes | None = None, **environment: str) -> Worker:
        """Starts a worker and sends HELLO."""
        folder = self.app(files)
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "IGNITE_WORKER_FD": str(theirs.fileno()), **environment}
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", str(self.home / "ignite/_main.py"), str(folder)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=folder, env=environment, pass_fds=[theirs.fileno()],
        )  # fmt: skip
        theirs.close()
        worker = Worker(process, ours)
        self.addCleanup(worker.close)
        worker.send(hello() if greeting is None else greeting)
        return worker

    def serve(self, files: Files, **options: Any) -> Worker:
        """A worker that serves by itself, ready."""
        worker = self.start(files, IGNITE_ZYGOTE="0", **options)
        self.assertEqual(0, worker.expect(READY).zygote)
        return worker

    def zygote(self, files: Files, **options: Any) -> Worker:
        """A zygote, ready."""
        worker = self.start(files, **options)
        self.assertEqual(1, worker.expect(READY).zygote)
        return worker

    def fork(self, files: Files, **options: Any) -> Child:
        """A worker forked by a zygote."""
        return self.fork_from(self.zygote(files, **options))

    def fork_from(self, zygote: Worker, number: int = 1, *tokens: int) -> Child:
        """One more worker of a zygote."""
        child = zygote.fork(number, *tokens)
        self.addCleanup(child.close)
        return child

    def refuse(self, files: Files, **options: Any) -> Got:
        """The INIT_ERROR of a worker that cannot load its handler; the worker has exited."""
        worker = self.start(files, **options)
        got = worker.expect(INIT_ERROR)
        worker.expect_closed()
        self.assertEqual(1, worker.wait())
        return got

    def assert_fault(self, worker: Worker | Child) -> None:
        """The worker exits because of what it was sent."""
        worker.expect_closed()
        self.assertEqual(70, worker.wait())
        self.assertIn("ignite: the host sent ", worker.read("stderr"))
