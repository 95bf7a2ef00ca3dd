"""Run with `python -m unittest`; needs nothing but this folder."""

import unittest

from handler import handler

CONTEXT = {"execution_id": "test", "function_id": "local/{{name}}", "organization_id": "local"}


class HandlerTest(unittest.TestCase):
    def test_greets_by_name(self):
        answer = handler(b'{"name": "Ada"}', CONTEXT)
        self.assertEqual(answer["greeting"], "Hello, Ada!")

    def test_greets_the_world_without_a_name(self):
        self.assertEqual(handler(b"", CONTEXT)["greeting"], "Hello, world!")


if __name__ == "__main__":
    unittest.main()
