"""Streamed answers: parts, credit, cancelling, and errors in the middle; by generators of both kinds."""

from __future__ import annotations

import struct
import unittest

from driver import CANCEL, CHUNK, CREDIT, ERROR, LOG, RESULT, Case, Got, Link, frame, hello, invoke

STREAMS = """
    {imports}
    import ignite

    {define} parts(payload, ctx):
        yield "grüße"
        yield b""
        yield b"\\x00\\xff"

    {define} nothing(payload, ctx):
        if False:
            yield

    {define} big(payload, ctx):
        try:
            for number in range(10):
                ctx.log.info("makes", number=number)
                yield bytes([number]) * int(payload)
        finally:
            {pause}
            ctx.log.info("cleaned up")

    {define} endless(payload, ctx):
        try:
            while True:
                yield b"."
        except GeneratorExit:
            ctx.log.info("closed")
            raise

    {define} stubborn(payload, ctx):
        while True:
            try:
                yield b"x" * 1000
            except GeneratorExit:
                pass

    {define} fails_first(payload, ctx):
        raise ValueError("first")
        yield

    {define} fails_later(payload, ctx):
        yield b"some"
        raise ValueError("later")

    {define} wrong(payload, ctx):
        yield b"some"
        yield 7

    {define} exits(payload, ctx):
        yield b"some"
        raise SystemExit(1)

    class Events:
        def __aiter__(self):
            return parts_async()

    async def parts_async():
        yield b"a"
        yield b"b"

    CASES = dict(
        head=lambda *a: ignite.Response(parts(*a), status=201, headers={{"content-type": "text/event-stream"}}),
        iterator=lambda *a: iter([b"a", "b"]),
        iterable=lambda *a: ignite.Response(Events()),
    )

    {handler}
"""


def source(define: str, pause: str, handler: str) -> str:
    # Dedented here, because what is filled in has several lines.
    import textwrap

    text = textwrap.dedent(STREAMS).replace("{{", "{").replace("}}", "}")
    return (
        text.replace("{define}", define)
        .replace("{pause}", pause)
        .replace("{imports}", "import asyncio" if "await" in pause else "")
        .replace("{handler}", handler)
    )


SYNC_HANDLER = """
def handler(payload, ctx):
    name = ctx.path[1:]
    return (CASES.get(name) or globals()[name])(payload, ctx)
"""


def credit(number: int, count: int) -> bytes:
    return frame(CREDIT, number, struct.pack("<I", count))


class SyncStreams(Case):
    """A plain handler that returns plain generators. The classes below do the same in other ways."""

    SOURCE = source("def", "pass", SYNC_HANDLER)

    def setUp(self) -> None:
        self.link: Link = self.serve(self.SOURCE, greeting=hello(window=1000))

    def gather(self, number: int) -> tuple[Got, list[bytes]]:
        """The head and the parts of a stream that needs no credit."""
        head = self.link.expect(RESULT, number)
        parts = [head.body]
        end = head.end
        while not end:
            chunk = self.link.expect(CHUNK, number)
            parts.append(chunk.body)
            end = chunk.end
        return head, parts

    def test_parts_leave_as_they_are_yielded(self) -> None:
        self.link.send(invoke(1, path="/parts"))
        head, parts = self.gather(1)
        self.assertEqual((200, "application/octet-stream"), (head.status, head.content_type))
        self.assertEqual(["grüße".encode(), b"\x00\xff", b""], parts)

    def test_an_empty_stream_is_an_empty_answer(self) -> None:
        self.link.send(invoke(1, path="/nothing"))
        head = self.link.expect(RESULT, 1)
        self.assertTrue(head.end)
        self.assertEqual(b"", head.body)

    def test_a_response_gives_a_stream_its_head(self) -> None:
        self.link.send(invoke(1, path="/head"))
        head, parts = self.gather(1)
        self.assertEqual((201, "text/event-stream"), (head.status, head.content_type))
        self.assertEqual("grüße".encode() + b"\x00\xff", b"".join(parts))

    def test_iterators_and_async_iterables_stream(self) -> None:
        for number, path in enumerate(("/iterator", "/iterable"), 1):
            self.link.send(invoke(number, path=path))
            self.assertEqual(b"ab", b"".join(self.gather(number)[1]))

    def test_it_waits_for_credit_and_its_generator_with_it(self) -> None:
        self.link.send(invoke(1, b"300", path="/big"))
        head = self.link.expect(RESULT, 1)
        received = len(head.body)
        while received < 1000:
            received += len(self.link.expect(CHUNK, 1).body)
        self.assertEqual(1000, received)
        # The fourth part is made and cut; the fifth is not made before there is room for the rest of the fourth.
        self.link.send(credit(1, 1))
        self.assertEqual(1, len(self.link.expect(CHUNK, 1).body))
        self.assertEqual([0, 1, 2, 3], [log.fields["number"] for log in self.link.logs])
        self.link.send(credit(1, 100_000))
        parts = []
        while True:
            chunk = self.link.expect(CHUNK, 1)
            parts.append(chunk.body)
            if chunk.end:
                break
        self.assertEqual(3000 - 1001, len(b"".join(parts)))
        self.assertEqual(b"\x09" * 300, b"".join(parts)[-300:])

    def test_parts_longer_than_window_and_frames_are_cut(self) -> None:
        self.link = self.serve(self.SOURCE, greeting=hello(1, 500, 100_000))
        self.link.send(invoke(1, b"2000", path="/big"))
        head, parts = self.gather(1)
        self.assertLessEqual(max(map(len, parts)), 500)
        self.assertLess(len(head.body), 500)
        self.assertEqual(b"".join(bytes([number]) * 2000 for number in range(10)), b"".join(parts))

    def test_a_stream_without_any_window_sends_its_head_first(self) -> None:
        self.link = self.serve(self.SOURCE, greeting=hello(window=0))
        self.link.send(invoke(1, path="/parts"))
        head = self.link.expect(RESULT, 1)
        self.assertEqual((b"", False), (head.body, head.end))
        self.link.send(credit(1, 100))
        self.assertEqual("grüße".encode(), self.link.expect(CHUNK, 1).body)

    def test_a_cancel_closes_the_generator_that_waits_for_credit(self) -> None:
        self.link.send(invoke(1, b"600", path="/big"))
        self.link.expect(RESULT, 1)
        self.assertEqual(400, len(self.link.expect(CHUNK, 1).body))
        self.link.send(frame(CANCEL, 1, b"\x02"))
        self.assertEqual("cancelled", self.link.expect(ERROR, 1).type)
        self.assertEqual("cleaned up", self.link.logs[-1].message)
        self.assert_still_serves()

    def test_a_cancel_closes_the_generator_that_has_credit(self) -> None:
        self.link = self.serve(self.SOURCE, greeting=hello(window=2**32 - 1))
        self.link.send(invoke(1, path="/endless"))
        self.link.expect(RESULT, 1)
        self.link.send(frame(CANCEL, 1, b"\x01"))
        while (got := self.link.receive()) is not None and got.kind == CHUNK:
            pass
        assert got is not None
        self.assertEqual((LOG, "closed"), (got.kind, got.message))
        self.assertEqual("cancelled", self.link.expect(ERROR, 1).type)
        self.assert_still_serves()

    def test_a_generator_that_will_not_close_is_left(self) -> None:
        self.link.send(invoke(1, path="/stubborn"))
        self.link.expect(RESULT, 1)
        self.link.send(frame(CANCEL, 1, b"\x01"))
        self.assertEqual("cancelled", self.link.expect(ERROR, 1).type)
        self.assertIn("ignored GeneratorExit", self.link.logs[-1].message)
        self.assert_still_serves()

    def test_an_error_before_the_first_part_is_an_ordinary_one(self) -> None:
        self.link.send(invoke(1, path="/fails_first"))
        got = self.link.expect(ERROR, 1)
        self.assertEqual(("ValueError", "first"), (got.type, got.message))
        self.assertIn("handler.py", got.trace)

    def test_an_error_later_breaks_the_answer_off(self) -> None:
        for number, (path, kind) in enumerate(
            {"fails_later": "ValueError", "wrong": "TypeError", "exits": "SystemExit"}.items(), 1
        ):
            self.link.send(invoke(number, path=f"/{path}"))
            self.assertEqual(b"some", self.link.expect(RESULT, number).body)
            self.assertEqual(kind, self.link.expect(ERROR, number).type)
            self.assert_still_serves()

    def test_credit_and_cancels_for_others_are_ignored(self) -> None:
        self.link.send(credit(7, 5), frame(CANCEL, 7, b"\x01"), invoke(1, path="/parts"))
        self.gather(1)
        self.link.send(credit(1, 5), frame(CANCEL, 1, b"\x01"))
        self.assert_still_serves()

    def assert_still_serves(self) -> None:
        self.link.logs.clear()
        self.link.send(invoke(99, path="/parts"))
        self.assertEqual("grüße".encode() + b"\x00\xff", b"".join(self.gather(99)[1]))


class SyncHandlerAsyncGenerators(SyncStreams):
    """A plain handler that returns async generators."""

    SOURCE = source("async def", "await asyncio.sleep(0)", SYNC_HANDLER)


class AsyncHandlerAsyncGenerators(SyncStreams):
    """An `async def` handler that returns async generators."""

    SOURCE = source("async def", "await asyncio.sleep(0)", SYNC_HANDLER.replace("def", "async def", 1))


class AsyncHandlerSyncGenerators(SyncStreams):
    """An `async def` handler that returns plain generators."""

    SOURCE = source("def", "pass", SYNC_HANDLER.replace("def", "async def", 1))


class GeneratorHandlers(Case):
    def test_the_handler_itself_may_be_the_generator(self) -> None:
        for define in ("def", "async def"):
            worker = self.serve(f"""
                {define} handler(payload, ctx):
                    yield payload
                    yield "end"
            """)
            worker.send(invoke(1, b"the "))
            self.assertEqual(b"the ", worker.expect(RESULT, 1).body)
            self.assertEqual(b"end", worker.expect(CHUNK, 1).body)
            last = worker.expect(CHUNK, 1)
            self.assertEqual((b"", True), (last.body, last.end))

    def test_a_file_is_streamed_and_closed(self) -> None:
        for define in ("def", "async def"):
            worker = self.serve(f"""
                file = open(__file__, "rb")
                {define} handler(payload, ctx):
                    return str(file.closed) if file.closed else file
            """)
            worker.send(invoke(1))
            body = worker.expect(RESULT, 1).body
            while not (chunk := worker.expect(CHUNK, 1)).end:
                body += chunk.body
            self.assertIn(b"handler(payload, ctx)", body)
            self.assertEqual(b"True", worker.call().body)

    def test_a_request_that_comes_early_waits_for_the_stream(self) -> None:
        worker = self.serve(
            "def handler(payload, ctx):\n    yield payload * 2\n", greeting=hello(window=3, concurrency=2)
        )
        worker.send(invoke(1, b"ab"), invoke(2, b"c"))
        self.assertEqual(b"aba", worker.expect(RESULT, 1).body)
        worker.send(credit(1, 10))
        self.assertEqual(b"b", worker.expect(CHUNK, 1).body)
        self.assertTrue(worker.expect(CHUNK, 1).end)
        self.assertEqual(b"cc", worker.expect(RESULT, 2).body)


if __name__ == "__main__":
    unittest.main()
