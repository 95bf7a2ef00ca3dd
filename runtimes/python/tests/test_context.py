"""What a handler is told and may use: `ctx`, by a worker and by `ignite.testing`."""

from __future__ import annotations

import copy
import json
import math
import pickle
import time
import unittest

from driver import Case

from ignite import Context, Headers, Query, Response, TempStoreFull, testing

FIELDS = """
    import json, os, time
    def handler(payload, ctx):
        assert isinstance(ctx, dict)
        now = time.monotonic()
        return {
            "dict": ctx,
            "attributes": [ctx.execution_id, ctx.function_id, ctx.organization_id],
            "method": ctx.method,
            "path": ctx.path,
            "query_string": ctx.query_string,
            "query": ctx.query.pairs(),
            "headers": ctx.headers.pairs(),
            "deadline": None if ctx.deadline is None else ctx.deadline - now,
            "remaining": None if ctx.deadline is None else ctx.remaining(),
            "unlimited": ctx.remaining() == float("inf"),
            "cwd_is_app": os.path.isfile("handler.py"),
            "environment": os.environ.get("GREETING"),
        }
"""


class Fields(Case):
    def test_every_field_arrives(self) -> None:
        worker = self.serve(FIELDS, GREETING="hei")
        got = json.loads(
            worker.call(
                timeout_us=5_000_000, ids=("E", "o/f", "o"), method="PATCH", path="/gr%C3%BC", query="a=1&b=%20&a=2",
                headers=[("x-one", "ä".encode()), ("x-two", b"a"), ("x-two", b"\xff")],
            ).body
        )  # fmt: skip
        self.assertEqual({"execution_id": "E", "function_id": "o/f", "organization_id": "o"}, got["dict"])
        self.assertEqual(["E", "o/f", "o"], got["attributes"])
        self.assertEqual(("PATCH", "/gr%C3%BC", "a=1&b=%20&a=2"), (got["method"], got["path"], got["query_string"]))
        self.assertEqual([["a", "1"], ["a", "2"], ["b", " "]], got["query"])
        self.assertEqual([["x-one", "ä"], ["x-two", "a"], ["x-two", "ÿ"]], got["headers"])
        self.assertTrue(0 < got["remaining"] <= got["deadline"] <= 5)
        self.assertTrue(got["cwd_is_app"])
        self.assertEqual("hei", got["environment"])

    def test_without_a_limit_there_is_no_deadline(self) -> None:
        got = json.loads(self.serve(FIELDS).call().body)
        self.assertEqual((None, True), (got["deadline"], got["unlimited"]))

    def test_the_store_is_gone_with_the_execution(self) -> None:
        worker = self.serve("""
            def handler(payload, ctx):
                before = ctx.temp_store.list()
                ctx.temp_store.put("a", payload)
                return [before, ctx.temp_store.get("a").decode()]
        """)
        for body in (b"1", b"2"):
            self.assertEqual([[], body.decode()], json.loads(worker.call(body).body))


class Contexts(unittest.TestCase):
    def test_it_is_a_dict_of_three(self) -> None:
        ctx = testing.context(execution_id="E", function_id="o/f", organization_id="o")
        self.assertEqual({"execution_id": "E", "function_id": "o/f", "organization_id": "o"}, ctx)
        self.assertEqual('{"execution_id": "E", "function_id": "o/f", "organization_id": "o"}', json.dumps(ctx))
        self.assertIn("POST /", repr(ctx))

    def test_elsewhere_it_is_a_plain_dict(self) -> None:
        ctx = testing.context()
        for other in (copy.copy(ctx), pickle.loads(pickle.dumps(ctx))):
            self.assertEqual((dict, ctx), (type(other), other))

    def test_time_runs_out(self) -> None:
        ctx = testing.context(timeout=1000)
        self.assertTrue(999 < ctx.remaining() <= 1000)
        self.assertFalse(ctx.cancelled)
        ctx.deadline = time.monotonic() - 1
        self.assertEqual(0, ctx.remaining())
        self.assertTrue(ctx.cancelled)
        self.assertEqual(math.inf, testing.context().remaining())

    def test_headers_are_found_in_any_case(self) -> None:
        headers = testing.context(
            headers=[("X-One", "1"), ("Accept", "a"), ("accept", "b"), ("cookie", "c=1"), ("cookie", "d=2")]
        ).headers
        self.assertIsInstance(headers, Headers)
        self.assertEqual("1", headers["x-ONE"])
        self.assertIn("X-one", headers)
        self.assertNotIn("x-two", headers)
        self.assertNotIn(1, headers)
        self.assertIsNone(headers.get("x-two"))
        self.assertEqual("a, b", headers["Accept"])
        self.assertEqual("c=1; d=2", headers["Cookie"])
        self.assertEqual(["a", "b"], headers.get_all("Accept"))
        self.assertEqual([], headers.get_all("x-two"))
        self.assertEqual(["x-one", "accept", "cookie"], list(headers))
        self.assertEqual({"x-one": "1", "accept": "a, b", "cookie": "c=1; d=2"}, dict(headers))
        with self.assertRaises(KeyError):
            headers["x-two"]

    def test_queries_are_decoded_as_forms_are(self) -> None:
        from urllib.parse import parse_qsl

        for text in (
            "", "a", "a=", "=a", "&&", "a=1&a=2&b=3", "a=b=c", "a+b=c+d", "%61=%62", "a=%C3%BC", "a=ü", "a=%FF",
            "a=%", "a=%1", "a=%zz", "a=% 1", "a=%+1", "a=100%25", "a=%%41", "a;b=1", "a=%00", "a=%_1",
        ):  # fmt: skip
            with self.subTest(text):
                pairs = testing.context(query=text).query.pairs()
                self.assertEqual(sorted(parse_qsl(text, keep_blank_values=True)), sorted(pairs))

    def test_a_query_gives_the_first_value_and_all(self) -> None:
        query = testing.context(query="a=1&a=2").query
        self.assertIsInstance(query, Query)
        self.assertEqual("1", query["a"])
        self.assertEqual("1", query.get("a"))
        self.assertEqual(["1", "2"], query.get_all("a"))
        self.assertEqual("x", query.get("b", "x"))


class TempStores(unittest.TestCase):
    def test_it_keeps_bytes(self) -> None:
        store = testing.context().temp_store
        store.put("b/1", b"one")
        store.put("b/2", bytearray(b"two"))
        store.put("a", memoryview(b"three"))
        self.assertEqual(["a", "b/1", "b/2"], store.list())
        self.assertEqual(["b/1", "b/2"], store.list("b/"))
        self.assertEqual(b"two", store.get("b/2"))
        self.assertIsNone(store.get("c"))
        self.assertEqual(b"", store.get("c", b""))
        self.assertTrue(store.delete("a"))
        self.assertFalse(store.delete("a"))
        self.assertEqual(["b/1", "b/2"], store.list())

    def test_it_is_bounded(self) -> None:
        store = testing.context().temp_store
        most = 64 << 20
        store.put("k", bytes(most - 1))
        with self.assertRaisesRegex(TempStoreFull, "'x' would bring the temp store to 67108865 bytes"):
            store.put("x", b"")
        self.assertEqual(["k"], store.list())
        store.put("k", b"small")
        store.put("x", bytes(most - 7))
        store.delete("x")
        store.delete("x")
        store.put("x", bytes(most - 7))
        with self.assertRaises(TempStoreFull):
            store.put("y", b"")

    def test_it_keeps_nothing_else(self) -> None:
        store = testing.context().temp_store
        with self.assertRaisesRegex(TypeError, "encode the value first"):
            store.put("a", "text")  # pyright: ignore
        with self.assertRaisesRegex(TypeError, "a key of the temp store is a str"):
            store.put(1, b"")  # pyright: ignore


class Testing(unittest.TestCase):
    def test_an_answer_is_what_a_caller_receives(self) -> None:
        def handler(payload: bytes, ctx: Context) -> object:
            ctx.log.info("got %d", len(payload), user=7)
            return {"name": json.loads(payload)["name"], "id": ctx["execution_id"]}

        answer = testing.invoke(handler, {"name": "Zoë"}, execution_id="E")
        self.assertEqual((200, "application/json"), (answer.status, answer.headers["Content-Type"]))
        self.assertEqual({"name": "Zoë", "id": "E"}, answer.json())
        self.assertEqual('{"name":"Zoë","id":"E"}', answer.text)
        self.assertEqual("info", answer.logs[0].level)
        self.assertEqual(("got 15", {"user": 7}), (answer.logs[0].message, answer.logs[0].fields))

    def test_payloads_of_every_kind(self) -> None:
        for payload, expected in ((b"\xff", b"\xff"), ("ü", b"\xc3\xbc"), ([1], b"[1]"), (None, b"null")):
            self.assertEqual(expected, testing.invoke(lambda p, _: p, payload).body)
        self.assertEqual(b"", testing.invoke(lambda p, _: p).body)

    def test_responses(self) -> None:
        answer = testing.invoke(lambda _p, _c: Response("made", 201, {"X-A": ["1", "2"]}))
        self.assertEqual((201, b"made", ["1", "2"]), (answer.status, answer.body, answer.headers.get_all("x-a")))
        self.assertIn("Response('made', status=201", repr(Response("made", 201)))
        self.assertEqual([("x-a", "1")], Response(headers={"X-A": "1"}).headers)

    def test_streams_and_coroutines(self) -> None:
        def parts(_payload: bytes, _ctx: Context):
            yield b"a"
            yield "b"

        async def async_parts(_payload: bytes, _ctx: Context):
            yield b"a"
            yield "b"

        async def coroutine(payload: bytes, ctx: Context) -> object:
            return async_parts(payload, ctx)

        async def mixed(payload: bytes, ctx: Context) -> object:
            return Response(parts(payload, ctx))

        for handler in (parts, async_parts, coroutine, mixed):
            with self.subTest(handler.__name__):
                self.assertEqual([b"a", b"b"], testing.invoke(handler).parts)

        async def plain(payload: bytes, _ctx: Context) -> bytes:
            return payload

        self.assertEqual(b"x", testing.invoke(plain, b"x").body)

    def test_what_a_handler_raises_reaches_the_test(self) -> None:
        def handler(_payload: bytes, _ctx: Context) -> None:
            raise KeyError("a")

        with self.assertRaises(KeyError):
            testing.invoke(handler)

    def test_what_a_host_would_refuse(self) -> None:
        with self.assertRaisesRegex(TypeError, "handler takes 1 argument, but is called with two; write"):
            testing.invoke(lambda _payload: None)
        with self.assertRaisesRegex(TypeError, "is not callable"):
            testing.invoke(7)
        with self.assertRaisesRegex(TypeError, "the answer holds a object"):
            testing.invoke(lambda _p, _c: object())
        with self.assertRaisesRegex(TypeError, "method is already settled by the context"):
            testing.invoke(lambda _p, _c: None, b"", testing.context(), method="GET")

    def test_cancelling(self) -> None:
        ctx = testing.context()
        testing.cancel(ctx)
        self.assertEqual(b"true", testing.invoke(lambda _p, c: c.cancelled, b"", ctx).body)
        self.assertEqual([], testing.logs(ctx))


class JsonText(unittest.TestCase):
    def test_it_is_what_json_writes(self) -> None:
        from ignite._to_json import to_json

        for value in (
            None, True, 0, -1, 10**30, 1.5, 1e300, "", 'a"\\\n\x00\x7f\u2028ü😀', [], {}, [[], {}], (1, 2),
            {"a": {"b": [1, {"c": None}]}}, {2: 2, None: 3, True: 4, 1.5: 5},
        ):  # fmt: skip
            expected = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            self.assertEqual(expected.encode(), to_json(value))


if __name__ == "__main__":
    unittest.main()
