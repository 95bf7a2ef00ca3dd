"""The greeting of the bench, checked by pydantic: a handler with a dependency that takes memory."""

import time

from pydantic import BaseModel


class Asked(BaseModel):
    """What the caller sends."""

    name: str
    id: str


class Answer(BaseModel):
    """What it gets."""

    greeting: str
    id: str


def handler(payload: bytes, ctx):
    """Greets at `/`, and after 300 ms at `/hold`."""
    if ctx.path == "/hold":
        time.sleep(0.3)
    asked = Asked.model_validate_json(payload)
    return Answer(greeting=f"Hello, {asked.name}!", id=asked.id).model_dump()
