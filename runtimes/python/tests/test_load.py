"""What an author is told of a handler that cannot be loaded; where modules are found."""

from __future__ import annotations

import json
import py_compile
import unittest

from driver import INIT_ERROR, Case, hello


class LoadErrors(Case):
    def check(self, files: dict[str, str] | str, kind: str, message: str, **options: str) -> str:
        got = self.refuse(files, **options)
        self.assertEqual((kind, message), (got.type, got.message))
        return got.trace

    def test_no_file(self) -> None:
        self.check(
            {"other.py": ""}, "entrypoint_missing", "handler.py: there is no such file in the app"
        )  # fmt: skip

    def test_a_file_outside_the_app(self) -> None:
        for entrypoint in ("../handler.py", "/etc/passwd", ".", "a/../../x.py"):
            with self.subTest(entrypoint):
                self.check(
                    {"handler.py": ""},
                    "entrypoint_missing",
                    f"{entrypoint}: there is no such file in the app",
                    IGNITE_ENTRYPOINT=entrypoint,
                )

    def test_no_handler(self) -> None:
        self.check(
            "x = 1",
            "handler_missing",
            "handler.py:1: there is no top-level `handler`; write `def handler(payload, ctx):`",
        )

    def test_a_handler_by_another_name(self) -> None:
        self.check(
            "import os\n\ndef helper(): pass\n\ndef lambda_handler(event, context): pass",
            "handler_missing",
            "handler.py:5: there is no `handler`; is `lambda_handler` meant? Give it that name",
        )

    def test_no_function(self) -> None:
        self.check(
            "import os\n\nhandler = {}",
            "handler_not_callable",
            "handler.py:3: handler is of type dict, but must be a function; write `def handler(payload, ctx):`",
        )

    def test_a_class(self) -> None:
        self.check(
            "class handler:\n    pass",
            "handler_not_callable",
            "handler.py:1: handler is a class, but must be a function; write `def handler(payload, ctx):`",
        )

    def test_signatures_that_do_not_fit(self) -> None:
        for signature, problem in {
            "()": "handler takes no arguments, but is called with two",
            "(payload)": "handler takes 1 argument, but is called with two",
            "(a, b, c)": "handler takes 3 arguments, but is called with two",
            "(a, b, c, d=1)": "handler takes 3 arguments, but is called with two",
            "(payload, *, ctx)": "handler needs the keyword argument `ctx`, which nobody passes",
        }.items():
            with self.subTest(signature):
                self.check(
                    f"\nasync def handler{signature}: pass",
                    "handler_signature",
                    f"handler.py:2: {problem}; write `def handler(payload, ctx):`",
                )

    def test_objects_that_do_not_fit(self) -> None:
        got = self.refuse("class A:\n    def __call__(self, payload): pass\nhandler = A()")
        self.assertEqual("handler_signature", got.type)
        self.assertEqual(
            "handler.py:2: handler is called with a payload and a context, but: too many positional arguments; "
            "write `def handler(payload, ctx):`",
            got.message,
        )
        got = self.refuse("class A:\n    def m(self): pass\nhandler = A().m")
        self.assertEqual("handler_signature", got.type)

    def test_a_syntax_error(self) -> None:
        trace = self.check("x = 1\ndef handler(payload, ctx)\n", "SyntaxError", "handler.py:2: expected ':'")
        self.assertIn('File "handler.py", line 2', trace)
        self.assertNotIn("ignite/", trace)

    def test_a_syntax_error_in_another_file(self) -> None:
        self.check({"handler.py": "import other", "other.py": "\n)"}, "SyntaxError", "other.py:2: unmatched ')'")

    def test_a_missing_module(self) -> None:
        trace = self.check(
            "import os\nimport no_such_module",
            "ModuleNotFoundError",
            "handler.py:2: No module named 'no_such_module'; is it in requirements.txt or pyproject.toml?",
        )
        self.assertEqual('  File "handler.py", line 2, in <module>', trace.splitlines()[1])
        self.assertNotIn("importlib", trace)
        self.assertNotIn("_load.py", trace)

    def test_an_error_in_a_library_names_the_authors_line(self) -> None:
        trace = self.check(
            {"handler.py": "\nimport library", "vendor/library/__init__.py": "\n\nraise ValueError('broken')"},
            "ValueError",
            "handler.py:2: broken",
        )
        self.assertIn('File "vendor/library/__init__.py", line 3', trace)

    def test_exiting_while_importing(self) -> None:
        self.check("import sys\nsys.exit(3)", "SystemExit", "handler.py:2: the module called sys.exit(3)")

    def test_an_interrupt_while_importing(self) -> None:
        self.check("raise KeyboardInterrupt('stop')", "KeyboardInterrupt", "handler.py:1: stop")

    def test_a_file_that_a_module_of_python_hides(self) -> None:
        self.check(
            {"time.py": "def handler(payload, ctx): pass"},
            "entrypoint_hidden",
            "time.py: a module of Python has the name `time`; give the file another name",
            IGNITE_ENTRYPOINT="time.py",
        )

    def test_another_version_of_the_protocol(self) -> None:
        worker = self.start("def handler(payload, ctx): pass", greeting=hello(version=2))
        got = worker.expect(INIT_ERROR)
        self.assertEqual("abi_version", got.type)
        self.assertEqual("the host speaks version 2, this worker version 1", got.message)
        self.assertEqual(1, worker.wait())


class Loading(Case):
    def check(self, files: dict[str, str], answer: str, **environment: str) -> None:
        worker = self.serve(files, **environment)
        self.assertEqual(answer, worker.call().body.decode())

    def test_signatures_that_fit(self) -> None:
        for signature in ("(payload, ctx)", "(a, b, c=1)", "(*args)", "(a, *rest, k=1, **more)", "(a, b, /)"):
            with self.subTest(signature):
                self.check({"handler.py": f"def handler{signature}: return 'ok'"}, "ok")

    def test_methods_partials_and_lambdas_fit(self) -> None:
        for expression in ("A().m", "functools.partial(f, 0)", "lambda p, c: 'ok'"):
            with self.subTest(expression):
                self.check(
                    {
                        "handler.py": f"""
                            import functools
                            class A:
                                def m(self, payload, ctx): return "ok"
                            def f(extra, payload, ctx): return "ok"
                            handler = {expression}
                        """
                    },
                    "ok",
                )

    def test_files_beside_the_handler_and_vendored_packages_are_found(self) -> None:
        self.check(
            {
                "handler.py": "import json, other, library as l\ndef handler(*_): return other.a + l.a + json.dumps(1)",
                "other.py": "a = 'other '",
                "vendor/library.py": "a = 'library '",
                "vendor/json.py": "raise RuntimeError('hides the standard library')",
                "vendor/other.py": "raise RuntimeError('hides the app')",
            },
            "other library 1",
        )

    def test_an_entrypoint_in_a_folder(self) -> None:
        self.check(
            {
                "src/app.py": "import beside, above\ndef handler(p, c): return __name__ + beside.a + above.a",
                "src/beside.py": "a = ' beside'",
                "above.py": "a = ' above'",
            },
            "app beside above",
            IGNITE_ENTRYPOINT="src/app.py",
        )

    def test_an_entrypoint_in_a_package(self) -> None:
        self.check(
            {
                "app/__init__.py": "",
                "app/api/__init__.py": "",
                "app/api/main.py": "from .. import b\nfrom . import c\ndef handler(*_): return __name__ + b.a + c.a",
                "app/b.py": "a = ' b'",
                "app/api/c.py": "a = ' c'",
            },
            "app.api.main b c",
            IGNITE_ENTRYPOINT="app/api/main.py",
        )

    def test_packed_byte_code_is_believed(self) -> None:
        folder = self.app("def handler(payload, ctx): return 'from the byte code'")
        # Unchecked: neither the time nor the text of the source matters.
        py_compile.compile(str(folder / "handler.py"), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        (folder / "handler.py").write_text("def handler(payload, ctx): return 'from the source'")
        self.assertEqual(b"from the byte code", self.serve(folder).call().body)

    def test_the_app_is_not_written_to(self) -> None:
        folder = self.app({"handler.py": "import other\nasync def handler(payload, ctx): pass", "other.py": ""})
        self.serve(folder).call()
        self.assertEqual(["handler.py", "other.py"], sorted(path.name for path in folder.iterdir()))

    def test_the_workers_own_byte_code_is_kept(self) -> None:
        self.serve("import logging\nasync def handler(payload, ctx): pass").call()
        kept = {path.name.split(".")[0] for path in (self.home / "ignite/__pycache__").iterdir()}
        self.assertLessEqual({"_worker", "_sync", "_async", "_logging"}, kept)

    def test_little_is_imported_for_a_handler_that_imports_nothing(self) -> None:
        worker = self.serve("import sys\ndef handler(payload, ctx): return sorted(sys.modules)")
        loaded = set(json.loads(worker.call().body))
        self.assertEqual(
            set(),
            loaded & {"asyncio", "collections", "enum", "inspect", "json", "logging", "re", "signal", "site",
                      "socket", "subprocess", "threading", "traceback", "typing"},
        )  # fmt: skip


if __name__ == "__main__":
    unittest.main()
