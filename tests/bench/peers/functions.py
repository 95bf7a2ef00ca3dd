"""The three handlers of the bench for Google's functions framework."""

import time

import functions_framework


@functions_framework.http
def handler(request):
    """Greets at `/`, gives back what it was sent at `/echo`, and greets after 10 ms at `/wait`."""
    if request.path == "/echo":
        return request.get_data()
    if request.path == "/wait":
        time.sleep(0.01)
    asked = request.get_json()
    return {"greeting": f"Hello, {asked['name']}!", "id": asked["id"]}
