import greeting


def handler(payload, ctx):
    return payload
