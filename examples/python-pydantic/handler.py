"""Checks an order and adds up its price."""

from decimal import Decimal

from ignite import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Line(BaseModel):
    """One line of an order."""

    model_config = ConfigDict(extra="forbid")

    sku: str = Field(pattern=r"^[A-Z]{2}-\d{4}$")
    quantity: int = Field(gt=0, le=1000)
    unit_price: Decimal = Field(ge=0, decimal_places=2, max_digits=8)


class Order(BaseModel):
    """What the caller sends."""

    model_config = ConfigDict(extra="forbid")

    customer: str = Field(min_length=1, max_length=100)
    lines: list[Line] = Field(min_length=1, max_length=100)


def handler(payload: bytes, ctx):
    """Answers an order with its total, and a wrong one with every fault in it at once."""
    try:
        order = Order.model_validate_json(payload)
    except ValidationError as error:
        ctx.log.info("refused an order", faults=error.error_count())
        faults = [{"field": field(fault["loc"]), "problem": fault["msg"]} for fault in error.errors(include_url=False)]
        return Response({"error": "this is not an order", "faults": faults}, status=422)
    total = sum(line.quantity * line.unit_price for line in order.lines)
    return {"customer": order.customer, "items": sum(line.quantity for line in order.lines), "total": f"{total:.2f}"}


def field(path: tuple[int | str, ...]) -> str:
    """`lines[0].sku` for the path `("lines", 0, "sku")`; empty for the order itself."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return name.removeprefix(".")
