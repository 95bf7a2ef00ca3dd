"""Greets whoever the JSON payload names."""

import json


def handler(payload: bytes, ctx):
    """Answers `{"name": "Ada"}` with `{"greeting": "Hello, Ada!"}`."""
    request = json.loads(payload) if payload else {}
    return {"greeting": f"Hello, {request.get('name', 'world')}!"}
