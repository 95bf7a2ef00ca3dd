"""Answers every case by path; see tests/cases/behaviour."""

import json
import os
import sys
import time

from ignite import Response


def handler(payload: bytes, ctx):
    name = ctx.path.split("/")[1]
    return CASES[name](payload, ctx)


def echo(payload, ctx):
    return payload


def text(payload, ctx):
    return payload.decode() + "!"


def json_values(payload, ctx):
    asked = json.loads(payload)
    return {"sum": sum(asked["numbers"]), "name": asked["name"], "list": [True, "x", {"deep": "ü"}]}


def status(payload, ctx):
    code = int(ctx.query["code"])
    headers = [("x-case", "yes"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("content-type", "text/x-case")]
    return Response("" if code == 204 else "made", status=code, headers=headers)


def raise_error(payload, ctx):
    raise ValueError("no such colour: mauve")


def panic(payload, ctx):
    sys.exit("out of paint")


def exit_process(payload, ctx):
    os._exit(3)


def hang(payload, ctx):
    while True:
        time.sleep(3600)


def spin(payload, ctx):
    while True:
        pass


def parts(count):
    for index in range(count):
        yield f"part {index}\n"
        time.sleep(0.05)


def stream(payload, ctx):
    return Response(parts(5), headers={"content-type": "text/plain"})


def stream_fail(payload, ctx):
    def failing():
        yield "part 0\n"
        time.sleep(0.05)
        raise ValueError("no more parts")

    return Response(failing(), headers={"content-type": "text/plain"})


def stream_large(payload, ctx):
    left = int(ctx.query["bytes"])
    part = b"x" * 65536
    return Response((part for _ in range(left // len(part))), headers={"content-type": "text/plain"})


def context(payload, ctx):
    return {
        "execution_id": ctx["execution_id"],
        "function_id": ctx["function_id"],
        "organization_id": ctx["organization_id"],
        "method": ctx.method,
        "path": ctx.path,
        "query_b": ctx.query["b"],
        "header": ctx.headers["x-case"],
        "deadline_is_near": 0 < ctx.remaining() <= 2,
    }


def env(payload, ctx):
    return os.environ.get(ctx.query["name"], "")


def scratch(payload, ctx):
    store = ctx.temp_store
    before = store.list()
    store.put("first", payload)
    store.put("second", b"2")
    got = store.get("first").decode()
    store.delete("first")
    return {"before": before, "got": got, "after_delete": store.list()}


def sleep(payload, ctx):
    time.sleep(int(ctx.query["ms"]) / 1000)
    return ctx.query["ms"]


def log(payload, ctx):
    print("a printed line")
    print("an error line", file=sys.stderr)
    ctx.log.warning("a record", colour="mauve")
    return "logged"


CASES = {
    "echo": echo,
    "text": text,
    "json": json_values,
    "status": status,
    "raise": raise_error,
    "panic": panic,
    "exit": exit_process,
    "hang": hang,
    "spin": spin,
    "stream": stream,
    "stream-fail": stream_fail,
    "stream-large": stream_large,
    "context": context,
    "env": env,
    "scratch": scratch,
    "sleep": sleep,
    "log": log,
}
