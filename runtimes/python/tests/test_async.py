"""`async def` handlers: many executions at once, cancelled one by one."""

from __future__ import annotations

import unittest

from driver import BYE, CANCEL, DRAIN, ERROR, LOG, RESULT, Case, Link, frame, hello, invoke

HANDLER = """
    import asyncio, contextvars, os

    gates = {}

    def gate(name):
        return gates.setdefault(name, asyncio.Event())

    async def handler(payload, ctx):
        return await globals()["case_" + ctx.path[1:]](payload.decode(), ctx)

    async def case_at_once(name, ctx):
        return ctx["execution_id"]

    async def case_wait(name, ctx):
        ctx.log.info("waits", gate=name)
        await gate(name).wait()
        return name

    async def case_open(name, ctx):
        gate(name).set()

    async def case_cancel(name, ctx):
        try:
            await gate("never").wait()
        finally:
            ctx.log.info("cleaned up", cancelled=ctx.cancelled)

    async def case_ignore_cancel(name, ctx):
        ctx.log.info("waits")
        try:
            await gate("never").wait()
        except asyncio.CancelledError:
            return "did not stop"

    async def case_cancel_itself(name, ctx):
        raise asyncio.CancelledError("by itself")

    async def case_raise(name, ctx):
        await asyncio.sleep(0)
        raise KeyError("missing")

    async def case_exit(name, ctx):
        await asyncio.sleep(0)
        raise SystemExit(2)

    async def case_exit_in_background(name, ctx):
        async def background():
            raise SystemExit(3)
        asyncio.create_task(background())
        return "answered"

    async def case_thread(name, ctx):
        def work():
            ctx.log.info("from a thread")
            return "worked"
        return await asyncio.to_thread(work)

    async def case_flood(name, ctx):
        for number in range(int(name)):
            ctx.log.info("x" * 1000)

    async def case_flood_thread(name, ctx):
        await asyncio.to_thread(lambda: [ctx.log.info("x" * 1000) for number in range(int(name))])

    async def case_long(name, ctx):
        await asyncio.sleep(0)
        return b"x" * int(name)

    async def case_fork(name, ctx):
        pid = os.fork()
        if pid == 0:
            raise SystemExit(4)
        return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


class AsyncHandlers(Case):
    """By a worker that serves by itself; `ForkedAsyncHandlers` does the same with a forked one."""

    def setUp(self) -> None:
        self.link: Link = self.start_link(hello(concurrency=16))

    def start_link(self, greeting: bytes) -> Link:
        return self.serve(HANDLER, greeting=greeting)

    def call(self, path: str, body: bytes = b"", number: int = 99):
        return self.link.call(body, number, path=f"/{path}")

    def test_it_runs_as_many_as_the_host_wants(self) -> None:
        worker = self.start(HANDLER, greeting=hello(concurrency=7))
        self.assertEqual(7, worker.expect(16).concurrency)

    def test_answers_come_in_the_order_they_are_ready(self) -> None:
        for number, name in ((1, b"a"), (2, b"b"), (3, b"c")):
            self.link.send(invoke(number, name, path="/wait"))
            self.assertEqual(number, self.link.expect(LOG).number)
        for number, name in ((2, b"b"), (3, b"c"), (1, b"a")):
            self.link.send(invoke(number + 10, name, path="/open"))
            self.link.expect(RESULT, number + 10)
            self.assertEqual(name, self.link.expect(RESULT, number).body)

    def test_one_that_never_waits_is_answered_beside_those_that_do(self) -> None:
        self.link.send(invoke(1, b"a", path="/wait"), invoke(2, path="/at_once"))
        self.assertEqual(b"01J0000000000000000000000Z", self.link.expect(RESULT, 2).body)

    def test_a_cancel_stops_one_and_no_other(self) -> None:
        self.link.send(invoke(1, b"a", path="/wait"), invoke(2, path="/cancel"), frame(CANCEL, 2, b"\x01"))
        self.assertEqual("cancelled", self.link.expect(ERROR, 2).type)
        self.assertEqual({"cancelled": True}, self.link.logs[-1].fields)
        self.link.send(invoke(3, b"a", path="/open"))
        self.link.expect(RESULT, 3)
        self.assertEqual(b"a", self.link.expect(RESULT, 1).body)

    def test_a_handler_may_end_well_in_spite_of_a_cancel(self) -> None:
        self.link.send(invoke(1, path="/ignore_cancel"))
        self.link.expect(LOG, 1)
        self.link.send(frame(CANCEL, 1, b"\x03"))
        self.assertEqual(b"did not stop", self.link.expect(RESULT, 1).body)

    def test_errors_are_told_and_the_others_live_on(self) -> None:
        self.link.send(invoke(1, b"a", path="/wait"))
        for number, (path, kind) in enumerate(
            {"raise": "KeyError", "exit": "SystemExit", "cancel_itself": "CancelledError"}.items(), 2
        ):
            self.link.send(invoke(number, path=f"/{path}"))
            got = self.link.expect(ERROR, number)
            self.assertEqual(kind, got.type)
            self.assertRegex(got.trace.splitlines()[1], r'^  File "handler.py", line \d+, in handler$')
        self.call("open", b"a", 50)
        self.assertEqual(b"a", self.link.expect(RESULT, 1).body)

    def test_a_background_task_that_exits_ends_nothing(self) -> None:
        self.assertEqual(b"answered", self.call("exit_in_background").body)
        self.assertEqual(b"01J0000000000000000000000Z", self.call("at_once").body)
        self.assertIn("SystemExit(3)", self.link.logs[-1].message)

    def test_threads_may_log(self) -> None:
        self.assertEqual(b"worked", self.call("thread").body)
        self.assertEqual([(99, "from a thread")], [(log.number, log.message) for log in self.link.logs])

    def test_no_record_is_lost_when_the_host_reads_slowly(self) -> None:
        for path in ("flood", "flood_thread"):
            self.link.logs.clear()
            self.assertEqual(b"null", self.call(path, b"5000").body)
            self.assertEqual(5000, len(self.link.logs), path)

    def test_long_answers_are_whole_and_in_one_piece(self) -> None:
        for number in range(1, 5):
            self.link.send(invoke(number, b"3000000", path="/long"))
        numbers = {got.number for got in (self.link.expect(RESULT) for _ in range(4)) if len(got.body) == 3_000_000}
        self.assertEqual({1, 2, 3, 4}, numbers)

    def test_long_payloads_arrive_whole(self) -> None:
        link = self.serve("async def handler(payload, ctx): return payload")
        payload = bytes(range(256)) * (24 << 10)
        self.assertEqual(payload, link.call(payload).body)
        self.assertEqual(b"", link.call(b"", 2).body)

    def test_a_process_forked_by_the_handler_exits_as_it_wants(self) -> None:
        self.assertEqual(b"4", self.call("fork").body)

    def test_a_drain_waits_for_what_is_in_flight(self) -> None:
        self.link.send(invoke(1, b"a", path="/wait"))
        self.link.expect(LOG, 1)
        self.link.send(frame(DRAIN), invoke(2, b"a", path="/open"))
        self.link.expect(RESULT, 2)
        self.assertEqual(b"a", self.link.expect(RESULT, 1).body)
        self.link.expect(BYE)
        self.link.expect_closed()
        self.assertEqual(0, self.link.wait())  # pyright: ignore

    def test_a_drain_waits_until_a_long_answer_is_sent(self) -> None:
        self.link.send(invoke(1, b"8000000", path="/long"), frame(DRAIN))
        self.assertEqual(8_000_000, len(self.link.expect(RESULT, 1).body))
        self.link.expect(BYE)
        self.link.expect_closed()

    def test_more_requests_than_agreed_are_a_fault(self) -> None:
        self.link = self.start_link(hello(concurrency=2))
        self.link.send(*(invoke(number, b"a", path="/wait") for number in (1, 2, 3)))
        while (got := self.link.receive()) is not None:
            self.assertEqual(LOG, got.kind)
        self.assertEqual(70, self.link.wait())  # pyright: ignore

    def test_a_closed_socket_ends_it_at_once(self) -> None:
        self.link.send(invoke(1, b"a", path="/wait"))
        self.link.expect(LOG, 1)
        self.link.sock.shutdown(1)
        self.link.expect_closed()
        self.assertEqual(0, self.link.wait())  # pyright: ignore


class ForkedAsyncHandlers(AsyncHandlers):
    """The same by a worker that a zygote forked."""

    def start_link(self, greeting: bytes) -> Link:
        return self.fork(HANDLER, greeting=greeting)


class Disguises(Case):
    """Asynchronous handlers that do not look like it at first."""

    def check(self, source: str) -> None:
        worker = self.start(source, greeting=hello(concurrency=5), IGNITE_ZYGOTE="0")
        self.assertEqual(5, worker.expect(16).concurrency)
        self.assertEqual(b"payload", worker.call(b"payload").body)

    def test_decorated(self) -> None:
        self.check("""
            import functools
            def decorate(function):
                @functools.wraps(function)
                def wrapper(*arguments):
                    return function(*arguments)
                return wrapper
            @decorate
            async def handler(payload, ctx):
                return payload
        """)

    def test_an_object(self) -> None:
        self.check("""
            class Handler:
                async def __call__(self, payload, ctx):
                    return payload
            handler = Handler()
        """)

    def test_a_partial(self) -> None:
        self.check("""
            import functools
            async def inner(extra, payload, ctx):
                return payload
            handler = functools.partial(inner, 1)
        """)

    def test_a_method(self) -> None:
        self.check("""
            class App:
                async def handle(self, payload, ctx):
                    return payload
            handler = App().handle
        """)


if __name__ == "__main__":
    unittest.main()
