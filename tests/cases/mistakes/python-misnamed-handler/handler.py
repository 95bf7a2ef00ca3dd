import json


def handle(payload, ctx):
    return json.loads(payload)
