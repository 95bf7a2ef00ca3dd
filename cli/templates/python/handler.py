import json


def handler(payload: bytes, ctx):
    """Greets whoever the JSON payload names."""
    request = json.loads(payload or b"{}")
    name = request.get("name", "world")
    return {"greeting": f"Hello, {name}!", "execution_id": ctx["execution_id"]}
