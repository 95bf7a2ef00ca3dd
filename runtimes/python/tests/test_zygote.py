"""Zygotes: forking, what a fork has and has not of its parent, and their ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import unittest

from driver import BYE, DRAIN, ERROR, EXITED, FORK, LOG, READY, Case, frame, invoke

COUNTER = """
    import os
    calls = 0
    def handler(payload, ctx):
        global calls
        calls += 1
        if payload == b"die": os._exit(7)
        if payload == b"kill": os.kill(os.getpid(), 9)
        return [os.getpid(), os.getppid(), calls]
"""


class Forking(Case):
    def test_workers_are_children_with_a_state_of_their_own(self) -> None:
        zygote = self.zygote(COUNTER)
        children = [self.fork_from(zygote, number) for number in (5, 6, 7)]
        for child in children:
            for calls in (1, 2):
                self.assertEqual([child.pid, zygote.process.pid, calls], json.loads(child.call().body))

    def test_forks_that_are_asked_for_together(self) -> None:
        zygote = self.zygote(COUNTER)
        ends: list[socket.socket] = []
        null = os.open(os.devnull, os.O_RDWR)
        self.addCleanup(os.close, null)
        for number in range(1, 6):
            ours, theirs = socket.socketpair()
            # The frame in two parts: descriptors belong to its first byte.
            whole = frame(FORK, number)
            socket.send_fds(zygote.sock, [whole[:1]], [theirs.fileno(), null, null])
            zygote.send(whole[1:])
            theirs.close()
            ours.settimeout(30)
            ends.append(ours)
            self.addCleanup(ours.close)
        pids = [zygote.expect(33, number).value for number in range(1, 6)]
        self.assertEqual(5, len(set(pids)))
        for pid, end in zip(pids, ends, strict=True):
            end.sendall(invoke(1))
            self.assertIn(b"[%d," % pid, end.recv(1 << 16))

    def test_what_is_sent_ahead_begins_with_a_token_and_not_without(self) -> None:
        zygote = self.start(COUNTER)
        self.assertTrue(zygote.expect(READY).ahead)
        tokens = os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.addCleanup(os.close, tokens)
        child = self.fork_from(zygote, 1, tokens)
        ahead = 1 << 63
        os.eventfd_write(tokens, 2)
        # Five that arrive together: the fourth finds no token, and what was never sent ahead needs none.
        child.send(b"".join(invoke(number) for number in (1, ahead + 2, ahead + 3, ahead + 4, 5)))
        calls = [json.loads(child.expect(18, number).body)[2] for number in (1, ahead + 2, ahead + 3)]
        self.assertEqual([1, 2, 3], calls)
        self.assertEqual("cancelled", child.expect(ERROR, ahead + 4).type)
        self.assertEqual(4, json.loads(child.expect(18, 5).body)[2], "it did not run")

    def test_an_asynchronous_worker_takes_nothing_ahead(self) -> None:
        zygote = self.start("async def handler(payload, ctx): pass")
        self.assertFalse(zygote.expect(READY).ahead)

    def test_the_end_of_a_worker_is_told_with_its_status(self) -> None:
        zygote = self.zygote(COUNTER)
        for number, (body, status) in enumerate({b"die": 7, b"kill": -9}.items(), 1):
            child = self.fork_from(zygote, number)
            child.send(invoke(1, body))
            child.expect_closed()
            self.assertEqual(status, child.wait())
        self.assertEqual([1], json.loads(self.fork_from(zygote, 9).call().body)[2:])

    def test_a_worker_that_drains_says_bye(self) -> None:
        child = self.fork(COUNTER)
        child.send(invoke(1), frame(DRAIN))
        child.expect(18, 1)
        child.expect(BYE)
        child.expect_closed()
        self.assertEqual(0, child.wait())

    def test_a_worker_whose_socket_is_closed_exits(self) -> None:
        child = self.fork(COUNTER)
        child.sock.shutdown(socket.SHUT_WR)
        child.expect_closed()
        self.assertEqual(0, child.wait())

    def test_workers_live_on_without_their_zygote(self) -> None:
        zygote = self.zygote(COUNTER)
        child = self.fork_from(zygote)
        child.call()
        zygote.send(frame(DRAIN))
        zygote.expect(BYE)
        zygote.expect_closed()
        self.assertEqual(0, zygote.wait())
        self.assertEqual(2, json.loads(child.call().body)[2])

    def test_a_zygote_whose_host_is_gone_ends_with_its_children(self) -> None:
        zygote = self.zygote({"handler.py": "def handler(payload, ctx):\n    while True: pass\n"})
        child = self.fork_from(zygote)
        child.send(invoke(1))
        zygote.sock.shutdown(socket.SHUT_WR)
        zygote.expect_closed()
        self.assertEqual(0, zygote.wait())
        child.expect_closed()

    def test_a_worker_holds_nothing_but_its_own(self) -> None:
        source = """
            import os
            def handler(payload, ctx):
                files = {}
                for number in map(int, os.listdir("/proc/self/fd")):
                    try:
                        files[number] = os.readlink(f"/proc/self/fd/{number}").split(":")[0]
                    except OSError:
                        pass
                return [files[number] for number in sorted(files)]
        """
        zygote = self.zygote(source)
        for number in range(1, 4):
            child = self.fork_from(zygote, number)
            self.assertEqual(["/dev/null", "pipe", "pipe", "socket"], json.loads(child.call().body))
        # And the zygote has kept none of what it was sent.
        held = os.listdir(f"/proc/{zygote.process.pid}/fd")
        self.assertEqual(6, len(held), "stdio, the socket and the pipe that wakes it")

    def test_what_the_handler_starts_does_not_hold_the_socket(self) -> None:
        child = self.fork("""
            import os, subprocess
            def handler(payload, ctx):
                return os.popen("ls /proc/self/fd").read()
        """)
        self.assertEqual(["0", "1", "2", "3"], child.call().body.decode().split())

    def test_random_numbers_differ(self) -> None:
        zygote = self.zygote("import random\nrandom.random()\ndef handler(p, c): return random.random()")
        numbers = {self.fork_from(zygote, number).call().body for number in range(1, 6)}
        self.assertEqual(5, len(numbers))

    def test_garbage_is_collected_in_workers_and_hooks_of_the_standard_library_are_called(self) -> None:
        child = self.fork("""
            import gc, os, sys
            forks = []
            os.register_at_fork(after_in_child=lambda: forks.append(1))
            def handler(payload, ctx):
                return [gc.isenabled(), gc.get_freeze_count() > 1000, len(forks), __name__, sys.argv[0][-11:]]
        """)
        self.assertEqual([True, True, 1, "handler", "/handler.py"], json.loads(child.call().body))

    def test_exit_functions_run_in_the_process_that_registered_them(self) -> None:
        zygote = self.zygote("""
            import atexit
            atexit.register(print, "of the import")
            def handler(payload, ctx):
                atexit.register(print, "of the worker")
        """)
        child = self.fork_from(zygote)
        child.call()
        child.send(frame(DRAIN))
        child.expect(BYE)
        self.assertEqual("of the worker\n", child.read("stdout"))
        self.assertEqual(0, child.wait())
        zygote.send(frame(DRAIN))
        zygote.expect(BYE)
        self.assertEqual("of the import\n", zygote.read("stdout"))

    def test_it_survives_an_interrupt_from_the_terminal(self) -> None:
        zygote = self.zygote(COUNTER)
        child = self.fork_from(zygote)
        for pid in (zygote.process.pid, child.pid):
            os.kill(pid, signal.SIGINT)
        child.call()
        self.fork_from(zygote, 2).call()

    def test_a_child_of_the_author_is_not_reaped(self) -> None:
        zygote = self.zygote("""
            import subprocess
            process = subprocess.Popen(["true"])
            def handler(payload, ctx): return 1
        """)
        child = self.fork_from(zygote)
        child.call()
        child.kill()
        self.assertEqual(-9, child.wait())


class ThreadsWhileImporting(Case):
    SOURCE = """
        import threading
        stop = threading.Event()
        threading.Thread(target=stop.wait, daemon=True).start()
        def handler(payload, ctx): return payload
    """

    def test_the_worker_serves_by_itself_and_says_why(self) -> None:
        worker = self.start(self.SOURCE)
        self.assertEqual(0, worker.expect(READY).zygote)
        self.assertEqual(
            (0, 3, "importing the handler started 1 more thread(s), so that the process cannot be forked; "
             "it serves alone. Start threads in the handler instead"),
            (worker.logs[0].number, worker.logs[0].level, worker.logs[0].message),
        )  # fmt: skip
        self.assertEqual(b"served", worker.call(b"served").body)

    def test_threads_do_not_keep_a_drained_worker(self) -> None:
        worker = self.start(self.SOURCE.replace(", daemon=True", ""))
        worker.expect(READY)
        worker.send(frame(DRAIN))
        worker.expect(BYE)
        self.assertEqual(0, worker.wait())


class Faults(Case):
    def test_what_a_zygote_is_never_sent(self) -> None:
        for name, sent in {
            "INVOKE": invoke(1),
            "CANCEL": frame(3, 1, b"\x01"),
            "FORK without descriptors": frame(FORK, 1),
            "FORK with a payload": frame(FORK, 1, b"x"),
        }.items():
            with self.subTest(name):
                zygote = self.zygote(COUNTER)
                zygote.send(sent)
                self.assert_fault(zygote)

    def test_another_number_of_descriptors(self) -> None:
        for count in (1, 2, 5):
            with self.subTest(count=count):
                zygote = self.zygote(COUNTER)
                socket.send_fds(zygote.sock, [frame(FORK, 1)], [zygote.sock.fileno()] * count)
                self.assert_fault(zygote)

    def test_a_fork_that_fails_is_told(self) -> None:
        zygote = self.zygote("""
            import os
            def no_fork():
                raise BlockingIOError(11, "too many processes")
            os.fork = no_fork
            def handler(payload, ctx): pass
        """)
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        with theirs, open(os.devnull, "w") as null:
            socket.send_fds(zygote.sock, [frame(FORK, 4)], [theirs.fileno(), null.fileno(), null.fileno()])
        log = zygote.expect(LOG)
        self.assertEqual((4, "could not fork a worker: [Errno 11] too many processes"), (log.number, log.message))
        self.assertEqual(256, zygote.expect(EXITED, 4).value)
        ours.settimeout(30)
        self.assertEqual(b"", ours.recv(1))


class Errors(Case):
    def test_a_forked_worker_tells_of_errors(self) -> None:
        child = self.fork("def handler(payload, ctx): 1 / 0")
        child.send(invoke(1))
        self.assertEqual("ZeroDivisionError", child.expect(ERROR, 1).type)


if __name__ == "__main__":
    unittest.main()
