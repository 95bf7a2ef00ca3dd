"""Does by path what limits and faults need; any other path tells what reached the handler.

See tests/it/limits.rs and tests/it/faults.rs.
"""

import json
import os
import struct
import sys
import time

from ignite import Response


def handler(payload: bytes, ctx):
    return CASES.get(ctx.path.lstrip("/"), seen)(payload, ctx)


def seen(payload, ctx):
    body = {
        "method": ctx.method,
        "path": ctx.path,
        "headers": {name: ctx.headers[name] for name in ctx.headers},
        "length": len(payload),
        "execution_id": ctx["execution_id"],
        "function_id": ctx["function_id"],
        "organization_id": ctx["organization_id"],
    }
    return Response(body, headers={"x-seen-method": ctx.method, "x-seen-path": ctx.path})


def echo(payload, ctx):
    return payload


def respond(payload, ctx):
    asked = json.loads(payload)
    return Response(asked["body"], status=asked["status"], headers=asked["headers"])


def gate(payload, ctx):
    """Says in which process it runs, then answers when the file that the payload names is there."""
    ctx.log.info("at the gate", pid=os.getpid())
    while not os.path.exists(payload):
        time.sleep(0.002)
    return str(os.getpid())


def pid(payload, ctx):
    return str(os.getpid())


def remaining(payload, ctx):
    return {"ms": ctx.remaining() * 1000}


def alone(payload, ctx):
    """Fails where another execution is in the same place at the same time."""
    place = payload.decode()
    os.close(os.open(place, os.O_CREAT | os.O_EXCL))
    time.sleep(0.01)
    os.unlink(place)
    return "alone"


def raise_error(payload, ctx):
    raise ValueError("no such colour: mauve")


def allocate(payload, ctx):
    kept = []
    while True:
        kept.append(b"\1" * (1 << 20))


def burst(payload, ctx):
    for index in range(int(payload)):
        print("line", index)
    return "printed"


def forge(payload, ctx):
    """Prints what would be answers, were they read from there: RESULT frames of status 299, for every likely id."""
    body = struct.pack("<HI", 299, 0) + b"forged"
    frames = b"".join(
        struct.pack("<IBBHQ", len(body), 18, 1, 0, sequence << 20 | place) + body
        for sequence in range(1, 64)
        for place in range(4)
    )
    for stream in (sys.stdout, sys.stderr):
        stream.buffer.write(frames)
        stream.buffer.write(b"\nthe end of the forgery\n")
        stream.buffer.flush()
    return "genuine"


def spin(payload, ctx):
    while True:
        pass


def sys_exit(payload, ctx):
    sys.exit(3)


def os_exit(payload, ctx):
    """Ends the process with words on stderr that no caller may see."""
    print("password is s3cret", file=sys.stderr, flush=True)
    os._exit(3)


def stream(payload, ctx):
    """Streams until nobody reads."""
    while True:
        yield b"x" * 16384
        time.sleep(0.001)


def large(payload, ctx):
    return b"x" * int(payload)


def flood(payload, ctx):
    """Prints as many bytes as the payload says: half of them as lines, half as one that has no end."""
    half = int(payload) // 2
    line = b"x" * 1023 + b"\n"
    for _ in range(half // len(line)):
        sys.stdout.buffer.write(line)
    for _ in range(half // 65536):
        sys.stdout.buffer.write(b"y" * 65536)
    sys.stdout.buffer.flush()
    return "printed"


CASES = {
    "spin": spin,
    "sys_exit": sys_exit,
    "os_exit": os_exit,
    "stream": stream,
    "large": large,
    "flood": flood,
    "echo": echo,
    "respond": respond,
    "gate": gate,
    "pid": pid,
    "remaining": remaining,
    "alone": alone,
    "raise": raise_error,
    "allocate": allocate,
    "burst": burst,
    "forge": forge,
}
