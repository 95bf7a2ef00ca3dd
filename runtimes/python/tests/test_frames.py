"""The codec against the golden frames of `core/abi`, in a worker's direction; the driver in the other."""

from __future__ import annotations

import json
import struct
import unittest

import driver
from driver import ROOT, frame, header_block, hello, invoke

from ignite import _frames

GOLDEN = ROOT.parents[1] / "core/abi/golden/frames.json"


def failure(fields: dict, tag: int, number: int) -> bytes:
    return _frames.encode_failure(tag, number, fields["type"], fields["message"], fields["trace"])


def headers(fields: dict) -> list[tuple[str, bytes]]:
    return [(name, bytes.fromhex(value)) for name, value in fields["headers"]]


def result(fields: dict, number: int, *, end: bool) -> bytes:
    pairs = [(name.encode(), value) for name, value in headers(fields)]
    prefix = _frames.result_prefix(fields["status"], _frames.encode_headers(pairs))
    body = bytes.fromhex(fields["body"])
    return _frames.result_head(number, prefix, len(body), end=end) + body


ENCODE = {
    "READY": lambda f, _n, _e: _frames.encode_ready(f["max_concurrency"], zygote=f["zygote"], sdk=f["sdk"]),
    "INIT_ERROR": lambda f, n, _e: failure(f, _frames.INIT_ERROR, n),
    "RESULT": lambda f, n, e: result(f, n, end=e),
    "CHUNK": lambda f, n, e: _frames.encode_chunk(n, bytes.fromhex(f["body"]), end=e),
    "ERROR": lambda f, n, _e: failure(f, _frames.ERROR, n),
    "LOG": lambda f, n, _e: _frames.encode_log(n, f["level"], f["message"], f["fields"].encode()),
    "BYE": lambda _f, _n, _e: _frames.encode_empty(_frames.BYE),
    "FORKED": lambda f, n, _e: _frames.encode_number(_frames.FORKED, n, f["pid"]),
    "EXITED": lambda f, n, _e: _frames.encode_number(_frames.EXITED, n, f["status"]),
}


def decode_hello(data: bytes, start: int, end: int) -> dict:
    names = ("abi_version", "frame_bytes_max", "stream_window_bytes", "max_concurrency")
    return dict(zip(names, _frames.decode_hello(data, start, end), strict=True))


def decode_invoke(data: bytes, start: int, end: int) -> dict:
    names = ("timeout_us", "execution_id", "function_id", "organization_id", "method", "path", "query")
    *texts, block, body = _frames.decode_invoke(data, start, end)
    pairs = [[name, value.hex()] for name, value in _frames.decode_headers(block)]
    return {**dict(zip(names, texts, strict=True)), "headers": pairs, "body": body.hex()}


DECODE = {
    "HELLO": decode_hello,
    "INVOKE": decode_invoke,
    "CANCEL": lambda *at: {"reason": _frames.decode_cancel(*at)},
    "CREDIT": lambda *at: {"bytes": _frames.decode_number(*at)},
    "DRAIN": lambda *_: {},
    "FORK": lambda *_: {},
}


class GoldenFrames(unittest.TestCase):
    def setUp(self) -> None:
        golden = json.loads(GOLDEN.read_text())
        self.assertEqual(_frames.ABI_VERSION, golden["abi_version"])
        self.frames = golden["frames"]

    def test_the_kinds_are_those_of_the_protocol(self) -> None:
        self.assertEqual(set(ENCODE) | set(DECODE), {golden["kind"] for golden in self.frames})
        for golden in self.frames:
            self.assertEqual(golden["number"], getattr(_frames, golden["kind"]) & 0xFF, golden["name"])

    def test_what_a_worker_sends_is_encoded_as_written_down(self) -> None:
        for golden in self.frames:
            if golden["kind"] in ENCODE:
                with self.subTest(golden["name"]):
                    encoded = ENCODE[golden["kind"]](golden["fields"], int(golden["id"]), golden["flags"] == 1)
                    self.assertEqual(golden["hex"], encoded.hex())

    def test_what_a_host_sends_is_decoded_as_written_down(self) -> None:
        for golden in self.frames:
            if golden["kind"] in DECODE:
                for kind in (bytes, bytearray):
                    with self.subTest(golden["name"], kind=kind.__name__):
                        data = kind(b"before" + bytes.fromhex(golden["hex"]) + b"\xff" * 40)
                        length, tag, number = _frames.HEADER.unpack_from(data, 6)
                        self.assertIn(tag, _frames.HOST_TAGS)
                        self.assertEqual(getattr(_frames, golden["kind"]), tag)
                        self.assertEqual(int(golden["id"]), number)
                        fields = DECODE[golden["kind"]](data, 22, 22 + length)
                        self.assertEqual(golden["fields"], fields)

    def test_the_driver_speaks_as_a_host_and_reads_as_one(self) -> None:
        for golden in self.frames:
            fields, number = golden["fields"], int(golden["id"])
            with self.subTest(golden["name"]):
                if golden["kind"] == "HELLO":
                    encoded = hello(1, fields["frame_bytes_max"], fields["stream_window_bytes"], 64)
                elif golden["kind"] == "INVOKE":
                    encoded = invoke(
                        number,
                        bytes.fromhex(fields["body"]),
                        timeout_us=fields["timeout_us"],
                        ids=(fields["execution_id"], fields["function_id"], fields["organization_id"]),
                        method=fields["method"],
                        path=fields["path"],
                        query=fields["query"],
                        headers=headers(fields),
                    )
                elif golden["kind"] == "CREDIT":
                    encoded = frame(driver.CREDIT, number, struct.pack("<I", fields["bytes"]))
                elif golden["kind"] in ("CANCEL", "DRAIN", "FORK"):
                    encoded = frame(golden["number"], number, bytes(fields.values()))
                else:
                    data = bytes.fromhex(golden["hex"])
                    got = driver.Got(data[4], data[5], number, data[16:])
                    self.assertEqual(golden["kind"], got.name)
                    self.assertEqual(golden["flags"] == 1, got.end)
                    continue
                self.assertEqual(golden["hex"], encoded.hex())


class MalformedPayloads(unittest.TestCase):
    def test_an_invoke_cut_short_anywhere_in_its_head_is_refused(self) -> None:
        whole = invoke(1, b"", query="a=1", headers=[("a", b"b")])[16:]
        for end in range(len(whole)):
            # What follows in the buffer belongs to the next frame and must not complete this one.
            with self.subTest(end=end), self.assertRaises(_frames.FrameError):
                _frames.decode_invoke(whole[:end] + b"\x00" * 64, 0, end)
            with self.subTest(end=end, alone=True), self.assertRaises(_frames.FrameError):
                _frames.decode_invoke(whole[:end], 0, end)

    def test_a_text_that_is_not_utf8_is_refused(self) -> None:
        data = invoke(1, path="/x")[16:].replace(b"/x", b"/\xff")
        with self.assertRaises(_frames.FrameError):
            _frames.decode_invoke(data, 0, len(data))

    def test_short_and_long_control_payloads_are_refused(self) -> None:
        for decode, data in (
            (_frames.decode_cancel, b""),
            (_frames.decode_cancel, b"\x00"),
            (_frames.decode_cancel, b"\x04"),
            (_frames.decode_cancel, b"\x01\x01"),
            (_frames.decode_number, b"\x01\x01\x01"),
            (_frames.decode_number, b"\x01\x01\x01\x01\x01"),
            (_frames.decode_hello, b"\x01"),
            (_frames.decode_hello, b"\x01\x00" + bytes(11)),
        ):
            with self.subTest(decode=decode.__name__, data=data), self.assertRaises(_frames.FrameError):
                decode(data, 0, len(data))

    def test_a_hello_may_be_longer_and_another_version_is_not_read(self) -> None:
        data = hello()[16:] + b"more"
        self.assertEqual(1, _frames.decode_hello(data, 0, len(data))[0])
        self.assertEqual((9, 0, 0, 0), _frames.decode_hello(b"\x09\x00", 0, 2))

    def test_a_malformed_header_block_is_an_error_of_the_reader(self) -> None:
        block = header_block([("name", b"value")])
        for end in range(1, len(block)):
            with self.subTest(end=end), self.assertRaises(ValueError):
                _frames.decode_headers(block[:end])


if __name__ == "__main__":
    unittest.main()
