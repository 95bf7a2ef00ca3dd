"""The three handlers of the bench, by path, and one that holds its worker."""

import json
import time


def handler(payload: bytes, ctx):
    """Greets at `/`, gives back what it was sent at `/echo`, greets after 10 ms at `/wait` and after 300 at `/hold`."""
    path = ctx.path
    if path == "/echo":
        return payload
    if path == "/wait":
        time.sleep(0.01)
    elif path == "/hold":
        time.sleep(0.3)
    asked = json.loads(payload)
    return {"greeting": f"Hello, {asked['name']}!", "id": asked["id"]}
