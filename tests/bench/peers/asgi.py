"""The three handlers of the bench as a bare ASGI app, for uvicorn."""

import asyncio
import json

TYPE = [(b"content-type", b"application/json")]


async def app(scope, receive, send):
    """Greets at `/`, gives back what it was sent at `/echo`, and greets after 10 ms at `/wait`."""
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] != "/echo":
        if scope["path"] == "/wait":
            await asyncio.sleep(0.01)
        asked = json.loads(body)
        body = json.dumps({"greeting": f"Hello, {asked['name']}!", "id": asked["id"]}).encode()
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*TYPE, length]})
    await send({"type": "http.response.body", "body": body})
