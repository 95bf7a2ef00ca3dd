"""How fast a worker is, without a host around it: `python3.12 tests/bench_worker.py`.

Three numbers for each kind of handler: executions a second when requests are always waiting (a plain worker is sent one
at a time by a host; this shows what it could do), the time of one after another, and what a start costs. Bounded to
about half a minute. No test: nothing here fails.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import driver

EXECUTIONS = 200_000
IN_FLIGHT = 64
STARTS = 15
BODY = b'{"name": "Zo\xc3\xab", "numbers": [1, 2, 3]}'
HEADERS = [("content-type", b"application/json"), ("user-agent", b"bench"), ("accept", b"*/*")]

HANDLERS = {
    "def": "import json\ndef handler(payload, ctx): return {'greeting': 'Hello, ' + json.loads(payload)['name'] + '!'}",
    "async def": (
        "import json\n"
        "async def handler(payload, ctx): return {'greeting': 'Hello, ' + json.loads(payload)['name'] + '!'}"
    ),
    "echo": "def handler(payload, ctx): return payload",
}


def pipelined(link: driver.Link) -> float:
    """Executions a second with `IN_FLIGHT` requests always under way."""
    request = b"".join(driver.invoke(number, BODY, headers=HEADERS) for number in range(1, IN_FLIGHT // 2 + 1))
    link.send(driver.invoke(1, BODY, headers=HEADERS))
    answer = len(link.sock.recv(1 << 20))
    total = EXECUTIONS // (IN_FLIGHT // 2) * (IN_FLIGHT // 2)
    slots = threading.Semaphore(2)

    def send() -> None:
        for _ in range(total // (IN_FLIGHT // 2)):
            slots.acquire()
            link.sock.sendall(request)

    sender = threading.Thread(target=send)
    began = time.perf_counter()
    sender.start()
    received = released = 0
    buffer = bytearray(1 << 20)
    while received < total * answer:
        received += link.sock.recv_into(buffer)
        while released < received // (answer * IN_FLIGHT // 2):
            released += 1
            slots.release()
    seconds = time.perf_counter() - began
    sender.join()
    return total / seconds


def one_by_one(link: driver.Link) -> float:
    """Microseconds for one execution after another."""
    request = driver.invoke(1, BODY, headers=HEADERS)
    count = EXECUTIONS // 10
    began = time.perf_counter()
    for _ in range(count):
        link.sock.sendall(request)
        link.sock.recv(1 << 16)
    return (time.perf_counter() - began) / count * 1e6


def starts(case: driver.Case, source: str) -> tuple[float, float]:
    """The shortest time from the start of the process to READY, and from FORK to the first answer, in ms."""
    ready: list[float] = []
    forked: list[float] = []
    folder = case.app(source)
    for _ in range(STARTS):
        began = time.perf_counter()
        worker = case.start(folder)
        worker.expect(driver.READY)
        ready.append(time.perf_counter() - began)
        ours, theirs = socket.socketpair()
        with open(os.devnull, "w") as null:
            request = driver.invoke(1, BODY)
            began = time.perf_counter()
            socket.send_fds(
                worker.sock, [driver.frame(driver.FORK, 1)], [theirs.fileno(), null.fileno(), null.fileno()]
            )
            theirs.close()
            ours.sendall(request)
            ours.recv(1 << 16)
            forked.append(time.perf_counter() - began)
        ours.close()
        worker.close()
    return min(ready) * 1e3, min(forked) * 1e3


def bare() -> float:
    """The shortest time that an interpreter takes to do nothing, in ms."""
    times: list[float] = []
    for _ in range(STARTS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-S", "-X", "utf8", "-c", "pass"], check=True)
        times.append(time.perf_counter() - began)
    return min(times) * 1e3


def main() -> None:
    driver.Case.setUpClass()
    case = driver.Case()
    try:
        print(f"an interpreter that does nothing: {bare():.1f} ms")
        for name, source in HANDLERS.items():
            ready, forked = starts(case, source)
            link = case.fork(source)
            rate, each = pipelined(link), one_by_one(link)
            print(
                f"{name:>10}: {rate:>8,.0f} executions/s pipelined, {each:.1f} µs one by one, "
                f"start to READY {ready:.1f} ms, FORK to answer {forked:.2f} ms"
            )
    finally:
        case.doCleanups()
        driver.Case.doClassCleanups()


if __name__ == "__main__":
    main()
