"""Executions that go on beyond their time in every way there is, by path; `/` greets."""

import ctypes
import hashlib
import json
import os
import time


def handler(payload: bytes, ctx):
    way = WAYS.get(ctx.path)
    if way is not None:
        way()
    asked = json.loads(payload)
    return {"greeting": f"Hello, {asked['name']}!", "id": asked["id"]}


def spins():
    while True:
        pass


def sleeps_in_c():
    ctypes.CDLL(None).sleep(3600)


def hashes_in_c():
    hashlib.pbkdf2_hmac("sha256", b"paint", b"salt", 2**31 - 1)


def catches_everything():
    while True:
        try:
            while True:
                time.sleep(0.001)
        except BaseException:
            pass


def forks_twice():
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(3600)
        os._exit(0)
    time.sleep(3600)


def leaves_its_group():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(3600)
        os._exit(0)
    time.sleep(3600)


WAYS = {
    f"/{way.__name__}": way
    for way in (spins, sleeps_in_c, hashes_in_c, catches_everything, forks_twice, leaves_its_group)
}
