def handler(payload, ctx):
    return payload
