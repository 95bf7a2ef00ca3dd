"""Executions that go on beyond their time in every way there is. See tests/it/clocks.rs.

The payload names a lock file. Whoever runs holds it; who finds it held says so beside it. A lock of flock(2) is held as
long as any process has the file open, so work that forked itself away still counts.
"""

import ctypes
import fcntl
import hashlib
import os
import time


def handler(payload: bytes, ctx):
    path = payload.decode()
    lock = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with open(path + ".overlap", "a") as overlap:
            overlap.write(ctx.path + "\n")
        return "overlap"
    os.set_inheritable(lock, True)
    try:
        return WAYS[ctx.path.lstrip("/")](ctx)
    finally:
        os.close(lock)


def answers(ctx):
    return "in time"


def spins(ctx):
    while True:
        pass


def sleeps_in_c(ctx):
    ctypes.CDLL(None).sleep(3600)


def hashes_in_c(ctx):
    hashlib.pbkdf2_hmac("sha256", b"paint", b"salt", 2**31 - 1)


def catches_everything(ctx):
    while True:
        try:
            while True:
                time.sleep(0.001)
        except BaseException:
            pass


def forks_twice(ctx):
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(3600)
        os._exit(0)
    time.sleep(3600)


def leaves_its_group(ctx):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(3600)
        os._exit(0)
    time.sleep(3600)


def dies_and_leaves_a_child(ctx):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(3600)
        os._exit(0)
    os.wait()
    os._exit(3)


def streams(ctx):
    yield b"one"
    time.sleep(3600)


def streams_on(ctx):
    while True:
        yield b"part"
        time.sleep(0.01)


WAYS = {
    way.__name__: way
    for way in (
        answers, spins, sleeps_in_c, hashes_in_c, catches_everything, forks_twice, leaves_its_group,
        dies_and_leaves_a_child, streams, streams_on,
    )  # fmt: skip
}
