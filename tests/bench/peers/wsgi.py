"""The three handlers of the bench as a bare WSGI app, for granian."""

import json
import time


def app(environ, start_response):
    """Greets at `/`, gives back what it was sent at `/echo`, and greets after 10 ms at `/wait`."""
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"] != "/echo":
        if environ["PATH_INFO"] == "/wait":
            time.sleep(0.01)
        asked = json.loads(body)
        body = json.dumps({"greeting": f"Hello, {asked['name']}!", "id": asked["id"]}).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
