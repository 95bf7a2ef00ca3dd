"""Tests of the handler; run them with `python -m unittest`."""

import unittest

from handler import handler
from ignite import testing


class Greeting(unittest.TestCase):
    def test_greets_by_name(self) -> None:
        answer = testing.invoke(handler, {"name": "Zoë"})
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json(), {"greeting": "Hello, Zoë!"})

    def test_greets_the_world_without_a_payload(self) -> None:
        self.assertEqual(testing.invoke(handler).json(), {"greeting": "Hello, world!"})


if __name__ == "__main__":
    unittest.main()
