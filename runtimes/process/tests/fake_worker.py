#!/usr/bin/env python3
"""A worker that misbehaves on command.

FAKE tells how it starts; the path of an INVOKE tells what it does with it. It speaks the frames of `core/abi/FRAMES.md`
by hand, so that a fault in the host's codec is not a fault here too.
"""

import array
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from urllib.parse import parse_qs

HELLO, INVOKE, CANCEL, CREDIT, DRAIN = 1, 2, 3, 4, 5
READY, INIT_ERROR, RESULT, CHUNK, ERROR, LOG, BYE = 16, 17, 18, 19, 20, 21, 22
FORK, FORKED, EXITED = 32, 33, 34
END = 1

MODE = os.environ.get("FAKE", "")
CONCURRENCY = int(os.environ.get("FAKE_CONCURRENCY", "1000"))


def short(text):
    data = text.encode()
    return struct.pack("<H", len(data)) + data


def long(text):
    data = text.encode()
    return struct.pack("<I", len(data)) + data


def frame(kind, id, payload=b"", flags=0):
    return struct.pack("<IBBHQ", len(payload), kind, flags, 0, id) + payload


def result(body, status=200, headers=()):
    block = b"".join(struct.pack("<H", len(n)) + n + struct.pack("<H", len(v)) + v for n, v in headers)
    return struct.pack("<HI", status, len(block)) + block + body


def error(kind, message, trace=""):
    return short(kind) + long(message) + long(trace)


class Worker:
    def __init__(self, sock):
        self.sock = sock
        self.lock = threading.Lock()
        self.cancelled = {}
        self.credit = {}
        self.more = threading.Condition()

    def send(self, *frames):
        with self.lock:
            self.sock.sendall(b"".join(frames))

    def read(self, length):
        data = b""
        while len(data) < length:
            part = self.sock.recv(length - len(data))
            if not part:
                os._exit(0)
            data += part
        return data

    def next(self):
        length, kind, flags, _, id = struct.unpack("<IBBHQ", self.read(16))
        return kind, id, self.read(length)

    def ready(self, zygote=False):
        self.send(frame(READY, 0, struct.pack("<HIB", 1, CONCURRENCY, zygote) + short("fake/1")))

    def serve(self):
        running = []
        while True:
            kind, id, payload = self.next()
            if kind == INVOKE:
                call = parse(payload)
                if call["path"] == "/never-read":
                    time.sleep(3600)
                self.cancelled[id] = threading.Event()
                self.credit[id] = 256 * 1024
                thread = threading.Thread(target=self.run, args=(id, call), daemon=True)
                thread.start()
                running.append(thread)
                running = [thread for thread in running if thread.is_alive()]
            elif kind == CANCEL:
                if id in self.cancelled:
                    self.cancelled[id].set()
                with self.more:
                    self.more.notify_all()
            elif kind == CREDIT:
                with self.more:
                    self.credit[id] += struct.unpack("<I", payload)[0]
                    self.more.notify_all()
            elif kind == DRAIN:
                if MODE == "ignores_drain":
                    continue
                for thread in running:
                    thread.join()
                self.send(frame(BYE, 0))
                os._exit(0)

    def run(self, id, call):
        path, query = call["path"], {k: v[0] for k, v in parse_qs(call["query"]).items()}
        cancelled = self.cancelled[id]
        if path == "/echo":
            self.send(frame(RESULT, id, result(call["body"], headers=[(b"content-type", b"text/x-echo")]), END))
        elif path == "/context":
            call["body"] = call["body"].hex()
            call["env"] = dict(os.environ)
            call["cwd"] = os.getcwd()
            call["pid"] = os.getpid()
            call["limits"] = open("/proc/self/limits").read()
            links = [os.readlink(f"/proc/self/fd/{fd}") for fd in range(1024) if os.path.exists(f"/proc/self/fd/{fd}")]
            call["sockets"] = sum(link.startswith("socket:") for link in links)
            call["stdin"] = links[0]
            self.send(frame(RESULT, id, result(json.dumps(call).encode()), END))
        elif path == "/sleep":
            if cancelled.wait(float(query["ms"]) / 1000):
                self.send(frame(ERROR, id, error("cancelled", "cancelled")))
            else:
                self.send(frame(RESULT, id, result(b"slept"), END))
        elif path == "/deaf":
            time.sleep(float(query["ms"]) / 1000)
            self.send(frame(RESULT, id, result(b"late"), END))
        elif path == "/exit":
            print("last words", file=sys.stderr, flush=True)
            os._exit(int(query["code"]))
        elif path == "/signal":
            os.kill(os.getpid(), int(query["number"]))
        elif path == "/raise":
            self.send(frame(ERROR, id, error("ValueError", "no good", "Traceback:\n  line 1\nValueError: no good")))
        elif path == "/bytes":
            self.send(frame(RESULT, id, result(b"x" * int(query["n"])), END))
        elif path == "/status":
            self.send(frame(RESULT, id, result(b"", status=int(query["n"])), END))
        elif path == "/header":
            self.send(frame(RESULT, id, result(b"", headers=[(query["name"].encode(), b"a\nb")]), END))
        elif path == "/malformed":
            self.send(b"\xff" * 64)
        elif path == "/truncated":
            self.send(frame(RESULT, id, b"\xc8", END))
        elif path == "/twice":
            self.send(frame(RESULT, id, result(b"1"), END), frame(RESULT, id, result(b"2"), END))
        elif path == "/unknown-id":
            self.send(frame(RESULT, id + (1 << 40), result(b"1"), END))
        elif path == "/host-frame":
            self.send(frame(DRAIN, 0))
        elif path == "/close":
            self.sock.shutdown(socket.SHUT_WR)
            time.sleep(3600)
        elif path == "/alloc":
            held = []
            while True:
                held.append(bytearray(b"x" * (4 << 20)))
                time.sleep(0.002)
        elif path == "/print":
            sys.stdout.write(call["body"].decode())
            sys.stdout.flush()
            self.send(frame(RESULT, id, result(b"printed"), END))
        elif path == "/log":
            fields = json.dumps({"n": 1})
            payload = struct.pack("<B", 3) + long("careful") + fields.encode()
            self.send(frame(LOG, id, payload), frame(RESULT, id, result(b""), END))
        elif path == "/stream":
            self.stream(id, int(query["parts"]), int(query["size"]), query.get("end", "well"))
        elif path == "/overrun":
            self.send(frame(RESULT, id, result(b"")))
            self.send(frame(CHUNK, id, b"x" * (256 * 1024 + 1)))
        elif path == "/chunk-first":
            self.send(frame(CHUNK, id, b"x"))
        elif path == "/leave-behind":
            # One that stays in the worker's group, one that leaves it, and one that leaves its output, too.
            group = subprocess.Popen(["sleep", "3600"])
            session = subprocess.Popen(["sleep", "3600"], start_new_session=True)
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            daemon = subprocess.Popen(["sleep", "3600"], start_new_session=True, **quiet)
            self.send(frame(RESULT, id, result(f"{group.pid} {session.pid} {daemon.pid}".encode()), END))

    def stream(self, id, parts, size, end):
        self.send(frame(RESULT, id, result(b"", headers=[(b"content-type", b"text/x-stream")])))
        sent = 0
        for number in range(parts):
            with self.more:
                while self.credit[id] < size and not self.cancelled[id].is_set():
                    self.more.wait()
                self.credit[id] -= size
            if self.cancelled[id].is_set():
                print(f"stream cancelled after {sent}", flush=True)
                self.send(frame(ERROR, id, error("cancelled", "cancelled")))
                return
            self.send(frame(CHUNK, id, bytes([number % 256]) * size))
            sent += size
        if end == "exit":
            os._exit(1)
        elif end == "error":
            self.send(frame(ERROR, id, error("ValueError", "half way")))
        else:
            self.send(frame(CHUNK, id, b"", END))

    def zygote(self):
        children = {}

        def reap():
            while True:
                if not children:
                    time.sleep(0.001)
                    continue
                try:
                    pid, status = os.waitpid(-1, 0)
                except ChildProcessError:
                    continue
                self.send(frame(EXITED, children.pop(pid), struct.pack("<I", status)))

        threading.Thread(target=reap, daemon=True).start()
        while True:
            fds = array.array("i")
            data, ancillary, _, _ = self.sock.recvmsg(16, socket.CMSG_LEN(3 * 4))
            if not data:
                os._exit(0)
            for _, _, part in ancillary:
                fds.frombytes(part)
            _, kind, _, _, id = struct.unpack("<IBBHQ", data)
            if kind == DRAIN:
                os._exit(0)
            assert kind == FORK and len(fds) == 3, (kind, fds)
            pid = os.fork()
            if pid == 0:
                os.setpgid(0, 0)
                self.sock.close()
                os.dup2(fds[1], 1)
                os.dup2(fds[2], 2)
                os.close(fds[1])
                os.close(fds[2])
                Worker(socket.socket(fileno=fds[0])).serve()
            for fd in fds:
                os.close(fd)
            children[pid] = id
            self.send(frame(FORKED, id, struct.pack("<I", pid)))


def parse(payload):
    at = 8
    call = {"timeout_us": struct.unpack("<Q", payload[:8])[0]}
    for name in ("execution_id", "function_id", "organization_id", "method", "path", "query"):
        (length,) = struct.unpack_from("<H", payload, at)
        call[name] = payload[at + 2 : at + 2 + length].decode()
        at += 2 + length
    (length,) = struct.unpack_from("<I", payload, at)
    block, at = payload[at + 4 : at + 4 + length], at + 4 + length
    call["headers"] = []
    here = 0
    while here < len(block):
        pair = []
        for _ in range(2):
            (length,) = struct.unpack_from("<H", block, here)
            pair.append(block[here + 2 : here + 2 + length].decode())
            here += 2 + length
        call["headers"].append(pair)
    call["body"] = payload[at:]
    return call


def main():
    if MODE == "exits_at_start":
        print("cannot go on", file=sys.stderr, flush=True)
        os._exit(7)
    if "IGNITE_WORKER_SOCKET" in os.environ:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(os.environ["IGNITE_WORKER_SOCKET"])
    else:
        sock = socket.socket(fileno=int(os.environ["IGNITE_WORKER_FD"]))
    worker = Worker(sock)
    kind, _, _ = worker.next()
    assert kind == HELLO, kind
    if MODE == "init_error":
        worker.send(frame(INIT_ERROR, 0, error("ImportError", "no module named nothing", "Traceback: here")))
        os._exit(1)
    if MODE == "never_ready":
        time.sleep(3600)
    if MODE == "zygote":
        worker.ready(zygote=True)
        worker.zygote()
    worker.ready()
    if MODE == "exits_when_ready":
        os._exit(8)
    worker.serve()


signal.signal(signal.SIGPIPE, signal.SIG_IGN)
main()
