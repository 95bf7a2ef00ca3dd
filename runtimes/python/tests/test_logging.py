"""Log records and the execution they belong to; what is printed."""

from __future__ import annotations

import unittest

from driver import LOG, READY, RESULT, Case, Got, Link, hello, invoke


def records(link: Link) -> list[tuple[int, int, str, dict]]:
    return [(log.number, log.level, log.message, log.fields) for log in link.logs]


class ContextLog(Case):
    def log(self, statements: str) -> list[Got]:
        body = "\n".join(f"    {line}" for line in statements.splitlines())
        worker = self.serve(f"def handler(payload, ctx):\n    log = ctx.log\n{body}\n")
        worker.call(number=5)
        self.assertEqual({5}, {log.number for log in worker.logs})
        return worker.logs

    def test_levels(self) -> None:
        logs = self.log(
            "log.trace('t')\nlog.debug('d')\nlog.info('i')\nlog.warning('w')\nlog.warn('w2')\nlog.error('e')"
        )
        self.assertEqual(
            [(0, "t"), (1, "d"), (2, "i"), (3, "w"), (3, "w2"), (4, "e")], [(log.level, log.message) for log in logs]
        )

    def test_arguments_and_fields(self) -> None:
        logs = self.log(
            "log.info('%s is %d', 'a', 1, user=7, name='Zoë')\nlog.info('%(a)s', {'a': 1})\nlog.info('100%')\n"
            "log.info('%d', 'x')\nlog.info(ValueError('v'), extra={'a': 1}, b=2)\n"
            "log.info('odd', value=object, nan=float('nan'), message='m', self=1, level='l')"
        )
        self.assertEqual(("a is 1", {"user": 7, "name": "Zoë"}), (logs[0].message, logs[0].fields))
        self.assertEqual("1", logs[1].message)
        self.assertEqual("100%", logs[2].message)
        self.assertEqual("%d ('x',)", logs[3].message)
        self.assertEqual(("v", {"a": 1, "b": 2}), (logs[4].message, logs[4].fields))
        self.assertEqual({"value", "nan", "message", "self", "level"}, set(logs[5].fields))

    def test_exceptions(self) -> None:
        (log,) = self.log("try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('failed', a=1)")
        self.assertEqual((4, {"a": 1}), (log.level, log.fields))
        lines = log.message.splitlines()
        self.assertEqual("failed", lines[0])
        self.assertRegex(lines[2], 'File "handler.py", line 4, in handler')
        self.assertEqual("ZeroDivisionError: division by zero", lines[-1])

    def test_records_have_bounds(self) -> None:
        logs = self.log("log.info('x' * 1_000_000)\nlog.info('f', long='x' * 1_000_000)\nlog.info('\\ud800')")
        self.assertLess(len(logs[0].message), 300_000)
        self.assertIn("characters left out", logs[0].message)
        self.assertEqual({"fields_left_out_bytes"}, set(logs[1].fields))
        self.assertEqual("\\ud800", logs[2].message)


class StandardLogging(Case):
    def test_records_belong_to_the_execution(self) -> None:
        link = self.fork("""
            import logging
            logging.getLogger().setLevel("DEBUG")
            logging.getLogger("app").warning("while importing")

            def handler(payload, ctx):
                logging.getLogger("app").info("got %d bytes", len(payload), extra={"user": 7})
                logging.debug("from the module")
        """)
        link.call(b"abc", 8)
        self.assertEqual(
            [
                (8, 2, "got 3 bytes", {"logger": "app", "user": 7}),
                (8, 1, "from the module", {"logger": "root"}),
            ],
            records(link),
        )
        self.assertEqual([(0, 3, "while importing", {"logger": "app"})], records(link.zygote))

    def test_it_is_noticed_however_late_it_is_imported(self) -> None:
        worker = self.serve("""
            def handler(payload, ctx):
                import logging.handlers
                logging.warning("late")
                logging.info("not shown: the level is the standard one")
        """)
        worker.call(number=3)
        self.assertEqual([(3, 3, "late", {"logger": "root"})], records(worker))

    def test_basic_config_sets_level_and_format(self) -> None:
        worker = self.serve("""
            import logging
            logging.basicConfig(level=logging.INFO)
            def handler(payload, ctx):
                logging.info("plain")
                logging.basicConfig(format="%(levelname)s %(message)s", level="INFO")
                logging.info("formatted")
                logging.basicConfig(style="{")
                logging.info("plain again")
        """)
        worker.call(number=3)
        self.assertEqual(["plain", "INFO formatted", "plain again"], [log.message for log in worker.logs])

    def test_an_author_who_says_where_to_write_is_obeyed(self) -> None:
        for configure in (
            "logging.basicConfig(stream=sys.stdout, level='INFO')",
            "logging.basicConfig(handlers=[logging.StreamHandler(sys.stdout)], level='INFO')",
            "logging.getLogger().addHandler(logging.StreamHandler(sys.stdout)); logging.getLogger().setLevel('INFO')",
            "logging.getLogger('app').addHandler(logging.StreamHandler(sys.stdout)); logger.setLevel('INFO')",
            "import logging.config; logging.config.dictConfig({'version': 1, 'root': {'handlers': ['h'], "
            "'level': 'INFO'}, 'handlers': {'h': {'class': 'logging.StreamHandler', 'stream': 'ext://sys.stdout'}}, "
            "'disable_existing_loggers': False})",
        ):
            with self.subTest(configure):
                worker = self.serve(f"""
                    import logging, sys
                    logger = logging.getLogger("app")
                    {configure}
                    def handler(payload, ctx):
                        logger.info("by the author")
                """)
                worker.call()
                self.assertEqual([], records(worker))
                self.assertIn("by the author", worker.read_line("stdout"))

    def test_the_null_handlers_of_libraries_do_not_count(self) -> None:
        worker = self.serve("""
            import logging
            logger = logging.getLogger("library")
            logger.addHandler(logging.NullHandler())
            def handler(payload, ctx):
                logger.warning("seen")
        """)
        worker.call()
        self.assertEqual(["seen"], [log.message for log in worker.logs])

    def test_errors_carry_their_traceback(self) -> None:
        worker = self.serve("""
            import logging
            def handler(payload, ctx):
                try:
                    1 / 0
                except ZeroDivisionError:
                    logging.exception("failed")
        """)
        worker.call()
        self.assertIn("ZeroDivisionError: division by zero", worker.logs[0].message)

    def test_concurrent_executions_are_kept_apart(self) -> None:
        link = self.fork(
            """
            import asyncio, logging
            logging.basicConfig(level="INFO")
            gate = asyncio.Event()
            async def inner(name):
                logging.info("in a task of %s", name)

            async def handler(payload, ctx):
                name = payload.decode()
                logging.info("before %s", name)
                if name == "1":
                    await gate.wait()
                else:
                    gate.set()
                await asyncio.create_task(inner(name))
                await asyncio.to_thread(logging.info, "in a thread of %s", name)
                logging.info("after %s", name)
            """,
            greeting=hello(concurrency=4),
        )
        link.send(invoke(1, b"1"), invoke(2, b"2"))
        self.assertEqual({1, 2}, {link.expect(RESULT).number, link.expect(RESULT).number})
        self.assertEqual(8, len(link.logs))
        for log in link.logs:
            self.assertEqual(str(log.number), log.message[-1])


class Printing(Case):
    def test_lines_leave_as_they_are_printed(self) -> None:
        link = self.fork("""
            import sys
            def handler(payload, ctx):
                print("grüße")
                print("to stderr", file=sys.stderr)
                ctx.log.info("printed")
                while not ctx.cancelled:
                    pass
        """)
        link.send(invoke(1))
        link.expect(LOG, 1)
        self.assertEqual("grüße\n", link.read_line("stdout"))
        self.assertEqual("to stderr\n", link.read_line("stderr"))

    def test_the_import_prints_to_the_zygote(self) -> None:
        zygote = self.start("print('importing', end='')\ndef handler(payload, ctx): print('handling')")
        self.assertEqual(1, zygote.expect(READY).zygote)
        child = self.fork_from(zygote)
        child.call()
        self.assertEqual("handling\n", child.read_line("stdout"))
        zygote.send()
        zygote.sock.shutdown(1)
        self.assertEqual("importing", zygote.read("stdout"))


if __name__ == "__main__":
    unittest.main()
