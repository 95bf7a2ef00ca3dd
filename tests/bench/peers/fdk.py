"""The three handlers of the bench for Fn's development kit."""

import json
import time

from fdk import response


def handler(ctx, data):
    """Greets at `/`, gives back what it was sent at `/echo`, and greets after 10 ms at `/wait`."""
    body = data.getvalue()
    path = ctx.RequestURL()
    if path != "/echo":
        if path == "/wait":
            time.sleep(0.01)
        asked = json.loads(body)
        body = json.dumps({"greeting": f"Hello, {asked['name']}!", "id": asked["id"]})
    return response.Response(ctx, response_data=body, headers={"content-type": "application/json"})
