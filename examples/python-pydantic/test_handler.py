"""Tests of the handler; run them with `python -m unittest` where the requirements are installed."""

import unittest

from handler import handler
from ignite import testing

LINE = {"sku": "AB-1234", "quantity": 3, "unit_price": "0.10"}


class Orders(unittest.TestCase):
    def test_adds_up(self) -> None:
        second = {"sku": "CD-0001", "quantity": 1, "unit_price": 5}
        answer = testing.invoke(handler, {"customer": "Ada", "lines": [LINE, second]})
        self.assertEqual(answer.json(), {"customer": "Ada", "items": 4, "total": "5.30"})

    def test_names_every_fault(self) -> None:
        lines = [LINE, LINE | {"sku": "nonsense", "quantity": 0}]
        answer = testing.invoke(handler, {"customer": "", "lines": lines, "colour": "red"})
        self.assertEqual(answer.status, 422)
        fields = [fault["field"] for fault in answer.json()["faults"]]
        self.assertEqual(fields, ["customer", "lines[1].sku", "lines[1].quantity", "colour"])

    def test_refuses_what_is_no_json(self) -> None:
        answer = testing.invoke(handler, b"{")
        self.assertEqual(answer.status, 422)
        self.assertEqual([fault["field"] for fault in answer.json()["faults"]], [""])


if __name__ == "__main__":
    unittest.main()
