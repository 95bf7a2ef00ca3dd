"""What a plain handler returns and raises, and what the host receives for it."""

from __future__ import annotations

import json
import unittest

from driver import CANCEL, LOG, RESULT, Case, Link, frame, invoke

EVERYTHING = """
    import datetime, decimal, os, sys
    import ignite

    def handler(payload, ctx):
        return globals()["case_" + ctx.path[1:]](payload, ctx)

    def case_echo(payload, ctx):
        assert type(payload) is bytes
        return payload

    def case_text(payload, ctx): return payload.decode()
    def case_none(payload, ctx): return None
    def case_nested(payload, ctx): return {"name": "Zoë", "list": [1, 2.5, True, None, "\\u2028"], 3: {}}
    def case_surrogate(payload, ctx): return {"a": "\\ud800"}
    def case_surrogate_text(payload, ctx): return "\\ud800"
    def case_number(payload, ctx): return 7
    def case_tuple(payload, ctx): return (1, "a")
    def case_bytearray(payload, ctx): return bytearray(payload)
    def case_memoryview(payload, ctx): return memoryview(payload)[1:]
    def case_teapot(payload, ctx):
        return ignite.Response("short", status=418, headers={"X-One": "1", "Set-Cookie": ["a=1", "b=2"], "x-n": 5})
    def case_typed(payload, ctx):
        return ignite.Response({"a": 1}, headers=[("content-type", "application/problem+json")])
    def case_empty(payload, ctx): return ignite.Response(status=204)
    def case_empty_none(payload, ctx): return ignite.Response(None, status=204)
    def case_json_none(payload, ctx): return ignite.Response(None)
    def case_awaitable(payload, ctx):
        async def later():
            import asyncio
            await asyncio.sleep(0)
            return b"later"
        return later()

    class Strange(Exception):
        def __str__(self): raise RuntimeError("no")

    def case_own_loop(payload, ctx):
        import asyncio
        async def inner():
            await asyncio.sleep(0)
            return b"inner"
        return asyncio.run(inner())

    def case_raise(payload, ctx): raise ValueError("größer als 3")
    def case_surrogate_error(payload, ctx): raise ValueError("\\ud800")
    def case_strange(payload, ctx): raise Strange
    def case_exit(payload, ctx): sys.exit(3)
    def case_exit_plain(payload, ctx): exit()
    def case_interrupt(payload, ctx): raise KeyboardInterrupt
    def case_base(payload, ctx): raise BaseException("base")
    def case_deep(payload, ctx): return case_deep(payload, ctx)
    def case_group(payload, ctx): raise ExceptionGroup("two", [ValueError("a"), KeyError("b")])
    def case_datetime(payload, ctx): return {"at": [datetime.datetime.now()]}
    def case_set(payload, ctx): return {1, 2}
    def case_bytes_in_json(payload, ctx): return {"a": b"b"}
    def case_nan(payload, ctx): return float("nan")
    def case_circle(payload, ctx):
        circle = []
        circle.append(circle)
        return circle
    def case_status(payload, ctx): return ignite.Response(status=100)
    def case_status_type(payload, ctx): return ignite.Response(status="200")
    def case_split(payload, ctx): return ignite.Response(headers={"a": "b\\r\\nc: d"})
    def case_header_name(payload, ctx): return ignite.Response(headers={"a b": "c"})
    def case_header_type(payload, ctx): return ignite.Response(headers={"a": None})
    def case_nested_response(payload, ctx): return ignite.Response(ignite.Response())
    def case_too_long(payload, ctx): return bytes(33 << 20)
    def case_print(payload, ctx):
        print("printed", end="")
        print("complained", end="", file=sys.stderr)
    def case_die(payload, ctx):
        print("last words")
        os._exit(9)
    def case_fork(payload, ctx):
        pid = os.fork()
        if pid == 0:
            sys.exit(5)
        return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    def case_fork_return(payload, ctx):
        pid = os.fork()
        if pid == 0:
            return b"from nobody"
        os.waitpid(pid, 0)
        return b"from the worker"
    def case_environment(payload, ctx):
        return sorted(name for name in os.environ if name.startswith("IGNITE_"))
    def case_cancelled(payload, ctx):
        if not payload:
            return ctx.cancelled
        ctx.log.info("waits")
        while not ctx.cancelled:
            pass
        return b"stopped"
"""

BODIES = {
    "echo": (bytes(range(256)), "application/octet-stream", bytes(range(256))),
    "text": ("grüße".encode(), "text/plain; charset=utf-8", "grüße".encode()),
    "none": (b"", "application/json", b"null"),
    "nested": (
        b"",
        "application/json",
        '{"name":"Zoë","list":[1,2.5,true,null,"\u2028"],"3":{}}'.encode(),
    ),
    "surrogate": (b"", "application/json", b'{"a":"\\ud800"}'),
    "number": (b"", "application/json", b"7"),
    "tuple": (b"", "application/json", b'[1,"a"]'),
    "bytearray": (b"ab", "application/octet-stream", b"ab"),
    "memoryview": (b"ab", "application/octet-stream", b"b"),
    "typed": (b"", "application/problem+json", b'{"a":1}'),
    "json_none": (b"", "application/json", b"null"),
    "awaitable": (b"", "application/octet-stream", b"later"),
    "own_loop": (b"", "application/octet-stream", b"inner"),
    "fork": (b"", "text/plain; charset=utf-8", b"5"),
    "fork_return": (b"", "application/octet-stream", b"from the worker"),
    "environment": (b"", "application/json", b"[]"),
}

ERRORS = {
    "raise": ("ValueError", "größer als 3"),
    "surrogate_error": ("ValueError", "\\ud800"),
    "strange": ("Strange", "<unprintable Strange>"),
    "exit": ("SystemExit", "the handler called sys.exit(3)"),
    "exit_plain": ("SystemExit", "the handler called sys.exit()"),
    "interrupt": ("KeyboardInterrupt", ""),
    "base": ("BaseException", "base"),
    "deep": ("RecursionError", "maximum recursion depth exceeded"),
    "group": ("ExceptionGroup", "two (2 sub-exceptions)"),
    "datetime": ("TypeError", "the answer holds a datetime.datetime, which is not JSON; return its `.isoformat()`"),
    "set": ("TypeError", "the answer holds a set, which is not JSON; return a list"),
    "bytes_in_json": (
        "TypeError",
        "the answer holds a bytes, which is not JSON; return bytes by themselves, or decode them",
    ),
    "nan": ("ValueError", None),
    "circle": ("ValueError", "Circular reference detected"),
    "surrogate_text": ("UnicodeEncodeError", None),
    "status": ("ValueError", "the status of a response is between 200 and 599, not 100"),
    "status_type": ("TypeError", "the status of a response is an int, not str"),
    "split": ("ValueError", "the value of header 'a' holds a control character"),
    "header_name": ("ValueError", "'a b' is not the name of a header"),
    "header_type": ("TypeError", "the value of header 'a' is a str, not NoneType"),
    "nested_response": ("TypeError", "the body of an ignite.Response cannot be an ignite.Response"),
    "too_long": (
        "AnswerTooLong",
        "the answer has 34603008 bytes; at most 33554432 fit unless it is streamed: yield it in parts",
    ),
}


class Answers(Case):
    """Each case by a worker that serves by itself; `ForkedAnswers` does the same with a forked one."""

    worker: Link

    def setUp(self) -> None:
        self.worker = self.link()

    def link(self) -> Link:
        return self.serve(EVERYTHING)

    def call(self, case: str, body: bytes = b"", number: int = 1):
        return self.worker.call(body, number, path=f"/{case}")

    def test_results_become_bodies(self) -> None:
        for number, (case, (payload, content_type, body)) in enumerate(BODIES.items(), 1):
            with self.subTest(case):
                got = self.call(case, payload, number)
                self.assertEqual((200, content_type, body), (got.status, got.content_type, got.body))

    def test_an_empty_body_is_echoed(self) -> None:
        self.assertEqual(b"", self.call("echo").body)

    def test_long_payloads_arrive_whole(self) -> None:
        for size in ((64 << 10) - 1, 64 << 10, (64 << 10) + 1, 200_000, 6 << 20):
            payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            with self.subTest(size=size):
                self.assertEqual(payload, self.call("echo", payload).body)

    def test_status_and_headers(self) -> None:
        got = self.call("teapot")
        self.assertEqual(418, got.status)
        self.assertEqual(b"short", got.body)
        self.assertEqual(
            [
                ("content-type", b"text/plain; charset=utf-8"),
                ("x-one", b"1"),
                ("set-cookie", b"a=1"),
                ("set-cookie", b"b=2"),
                ("x-n", b"5"),
            ],
            got.headers,
        )

    def test_an_answer_without_a_body_has_no_content_type(self) -> None:
        for case in ("empty", "empty_none"):
            got = self.call(case)
            self.assertEqual((204, [], b""), (got.status, got.headers, got.body))

    def test_whatever_is_raised_is_told_and_the_worker_lives_on(self) -> None:
        for number, (case, (kind, message)) in enumerate(ERRORS.items(), 1):
            with self.subTest(case):
                self.worker.send(invoke(number, path=f"/{case}"))
                got = self.worker.expect(20, number)
                self.assertEqual(kind, got.type)
                if message is not None:
                    self.assertEqual(message, got.message)
                self.assertEqual(b"still here", self.call("echo", b"still here").body)

    def test_a_trace_begins_at_the_handler_and_names_files_of_the_app(self) -> None:
        self.worker.send(invoke(1, path="/raise"))
        trace = self.worker.expect(20, 1).trace.splitlines()
        self.assertEqual("Traceback (most recent call last):", trace[0])
        self.assertRegex(trace[1], r'^  File "handler.py", line \d+, in handler$')
        self.assertEqual("ValueError: größer als 3", trace[-1])

    def test_a_json_failure_does_not_spoil_the_next_answer(self) -> None:
        # The encoder marks what it is in; a failure must not leave a mark that looks like a circle later.
        for _ in range(3):
            self.worker.send(invoke(1, path="/datetime"))
            self.worker.expect(20)
            self.assertEqual(7, json.loads(self.call("number").body))

    def test_requests_that_are_sent_together_are_answered_in_order(self) -> None:
        self.worker.send(*(invoke(number, b"%d" % number, path="/echo") for number in range(1, 200)))
        for number in range(1, 200):
            self.assertEqual(b"%d" % number, self.worker.expect(RESULT, number).body)

    def test_what_is_printed_is_out_before_the_answer(self) -> None:
        self.call("print")
        self.worker.send(b"")
        self.assertEqual("printed", "".join(self.worker_reads("stdout", 7)))
        self.assertEqual("complained", "".join(self.worker_reads("stderr", 10)))

    def worker_reads(self, stream: str, count: int) -> list[str]:
        import os

        return [os.read(self.worker.outputs[stream], 1).decode() for _ in range(count)]

    def test_dying_closes_the_connection(self) -> None:
        self.worker.send(invoke(1, path="/die"))
        self.worker.expect_closed()
        self.assertEqual(9, self.worker.wait())  # pyright: ignore
        self.assertEqual("last words\n", self.worker.read("stdout"))

    def test_a_handler_can_ask_whether_it_is_cancelled(self) -> None:
        self.assertEqual(b"false", self.call("cancelled").body)
        self.worker.send(invoke(2, b"wait", path="/cancelled"))
        self.worker.expect(LOG, 2)
        # A cancel of an answered execution is not meant for this one.
        self.worker.send(frame(CANCEL, 1, b"\x02"), frame(CANCEL, 2, b"\x01"))
        self.assertEqual(b"stopped", self.worker.expect(RESULT, 2).body)
        self.assertEqual(b"false", self.call("cancelled", number=3).body)


class ForkedAnswers(Answers):
    """The same by a worker that a zygote forked."""

    def link(self) -> Link:
        return self.fork(EVERYTHING)


class Bounds(Case):
    def test_the_hosts_longest_frame_is_respected(self) -> None:
        from driver import hello

        worker = self.serve("def handler(payload, ctx): return bytes(int(payload))", greeting=hello(1, 1000))
        overhead = 2 + 4 + 2 + len("content-type") + 2 + len("application/octet-stream")
        self.assertEqual(1000 - overhead, len(worker.call(b"%d" % (1000 - overhead)).body))
        self.assertEqual("AnswerTooLong", worker.fail(b"%d" % (1001 - overhead)).type)

    def test_a_long_error_is_cut(self) -> None:
        worker = self.serve("def handler(payload, ctx): raise ValueError('x' * 10_000_000)")
        got = worker.fail()
        self.assertLess(len(got.message) + len(got.trace), 200_000)
        self.assertIn("characters left out", got.trace)


if __name__ == "__main__":
    unittest.main()
