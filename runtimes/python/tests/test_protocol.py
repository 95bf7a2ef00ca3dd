"""Faults of the host, the ends of a connection, and a worker that is started by hand."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import unittest
from pathlib import Path

from driver import (
    BYE,
    CANCEL,
    CREDIT,
    DRAIN,
    FORK,
    HELLO,
    INVOKE,
    READY,
    RESULT,
    ROOT,
    Case,
    Worker,
    frame,
    hello,
    invoke,
)  # fmt: skip

ECHO = "def handler(payload, ctx): return payload"
ASYNC_ECHO = "async def handler(payload, ctx): return payload"

FAULTS = {
    "unknown kind": frame(99),
    "kind 0": frame(0),
    "a worker's frame": frame(RESULT, 1, struct.pack("<HI", 200, 0), 1),
    "unknown flag": frame(DRAIN, flags=2),
    "END where it does not belong": frame(DRAIN, flags=1),
    "INVOKE without END": frame(INVOKE, 1, invoke(1)[16:]),
    "reserved bytes": struct.pack("<IBBHQ", 0, DRAIN, 0, 1, 0),
    "too long": struct.pack("<IBBHQ", (32 << 20) + 1, INVOKE, 1, 0, 1),
    "HELLO twice": hello(),
    "FORK to a worker": frame(FORK, 1),
    "DRAIN with a payload": frame(DRAIN, 0, b"x"),
    "CANCEL for no reason": frame(CANCEL, 1, b""),
    "CANCEL for an unknown reason": frame(CANCEL, 1, b"\x09"),
    "CREDIT of three bytes": frame(CREDIT, 1, b"\x00\x00\x00"),
    "INVOKE cut short": frame(INVOKE, 1, invoke(1)[16:40], 1),
    "INVOKE that is not UTF-8": invoke(1, path="/xy").replace(b"/xy", b"/\xff\xfe"),
}


class Faults(Case):
    def test_they_end_the_worker_with_status_70(self) -> None:
        for source in (ECHO, ASYNC_ECHO):
            for name, sent in FAULTS.items():
                with self.subTest(name, source=source):
                    worker = self.serve(source)
                    self.assertEqual(b"before", worker.call(b"before").body)
                    worker.send(sent)
                    self.assert_fault(worker)

    def test_before_hello(self) -> None:
        for name, sent in {
            "INVOKE": invoke(1),
            "DRAIN": frame(DRAIN),
            "HELLO cut short": frame(HELLO, 0, b"\x01\x00\x00"),
            "HELLO without version": frame(HELLO),
        }.items():
            with self.subTest(name):
                self.assert_fault(self.start(ECHO, greeting=sent))


class Ends(Case):
    def test_a_drained_worker_says_bye(self) -> None:
        worker = self.serve(ECHO)
        worker.send(invoke(1, b"last"), frame(DRAIN))
        self.assertEqual(b"last", worker.expect(RESULT, 1).body)
        worker.expect(BYE)
        worker.expect_closed()
        self.assertEqual(0, worker.wait())

    def test_a_drain_during_a_stream_waits_for_its_end(self) -> None:
        worker = self.serve("def handler(payload, ctx):\n    yield payload\n", greeting=hello(window=2))
        worker.send(invoke(1, b"abc"))
        self.assertEqual(b"ab", worker.expect(RESULT, 1).body)
        worker.send(frame(DRAIN), frame(CREDIT, 1, struct.pack("<I", 9)))
        self.assertEqual(b"c", worker.expect(19, 1).body)
        self.assertTrue(worker.expect(19, 1).end)
        worker.expect(BYE)
        self.assertEqual(0, worker.wait())

    def test_a_closed_socket_ends_it_at_any_time(self) -> None:
        for source in (ECHO, ASYNC_ECHO):
            for sent in (b"", invoke(1)[:9], invoke(1, b"x" * 100)[:50], invoke(1, b"x" * 1_000_000)[:200_000]):
                with self.subTest(source=source, sent=len(sent)):
                    worker = self.serve(source)
                    worker.send(sent)
                    worker.sock.shutdown(socket.SHUT_WR)
                    worker.expect_closed()
                    self.assertEqual(0, worker.wait())

    def test_a_host_that_is_gone_before_hello(self) -> None:
        worker = self.start(ECHO, greeting=b"")
        worker.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(0, worker.wait())

    def test_a_host_that_is_gone_when_the_answer_is_ready(self) -> None:
        worker = self.serve("""
            import time
            def handler(payload, ctx):
                print("runs")
                while not ctx.cancelled: pass
        """)
        worker.send(invoke(1))
        worker.read_line("stdout")
        worker.sock.shutdown(socket.SHUT_RDWR)
        self.assertEqual(0, worker.wait())

    def test_frames_may_arrive_byte_by_byte(self) -> None:
        for source in (ECHO, ASYNC_ECHO):
            worker = self.serve(source)
            for byte in invoke(1, b"slow") + invoke(2, b"er"):
                worker.send(bytes([byte]))
            self.assertEqual(b"slow", worker.expect(RESULT, 1).body)
            self.assertEqual(b"er", worker.expect(RESULT, 2).body)

    def test_long_and_short_frames_may_follow_each_other(self) -> None:
        for define in ("def", "async def"):
            worker = self.serve(f"{define} handler(payload, ctx): return [len(payload), *set(payload)]")
            sizes = [1, 300_000, 1, 65_000, 66_000, 200_000, 3]
            worker.send(*(invoke(number, bytes([number]) * size) for number, size in enumerate(sizes, 1)))
            for number, size in enumerate(sizes, 1):
                self.assertEqual(b"[%d,%d]" % (size, number), worker.expect(RESULT, number).body)


class Sockets(Case):
    def test_a_worker_connects_where_it_is_told_to(self) -> None:
        folder = self.app(ECHO)
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(folder / "socket"))
        listener.listen(1)
        listener.settimeout(30)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", str(self.home / "ignite/_main.py"), str(folder)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder,
            env={"IGNITE_WORKER_SOCKET": str(folder / "socket"), "IGNITE_ZYGOTE": "0"},
        )  # fmt: skip
        worker = Worker(process, listener.accept()[0])
        self.addCleanup(worker.close)
        worker.send(hello())
        worker.expect(READY)
        self.assertEqual(b"x", worker.call(b"x").body)


class ByHand(Case):
    """A worker or a handler that somebody starts without a host."""

    def run_python(self, *arguments: str, cwd: Path | None = None, **environment: str) -> tuple[int, str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("IGNITE_")}
        done = subprocess.run(
            [sys.executable, "-B", *arguments], cwd=cwd, env={**clean, **environment}, capture_output=True,
            text=True, timeout=30, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    HINT = "{}: this is an Ignite function, which a host serves: run `ignite run .`\n"

    def test_the_worker(self) -> None:
        for arguments in (["-I", "-S", str(self.home / "ignite/_main.py"), "."], ["-m", "ignite"]):
            status, out, err = self.run_python(*arguments, PYTHONPATH=str(ROOT))
            self.assertEqual((2, "", self.HINT.format("ignite")), (status, out, err))

    def test_a_descriptor_that_is_none(self) -> None:
        for number in ("99", "x", "0"):
            status, _, err = self.run_python(
                "-I", "-S", str(self.home / "ignite/_main.py"), ".", IGNITE_WORKER_FD=number
            )
            self.assertEqual(2, status)
            self.assertIn("the socket of the host cannot be opened", err)

    def check_script(self, source: str, expected: str) -> None:
        folder = self.app(source)
        self.assertEqual(
            (0, "", expected), self.run_python("handler.py", cwd=folder, PYTHONPATH=str(ROOT))
        )  # fmt: skip

    def test_a_handler_says_how_it_is_served(self) -> None:
        self.check_script("import ignite\ndef handler(payload, ctx): pass", self.HINT.format("handler.py"))

    def test_other_programs_say_nothing(self) -> None:
        self.check_script("import ignite", "")
        self.check_script("from ignite import testing\ndef handler(payload, ctx): pass", "")


if __name__ == "__main__":
    unittest.main()
