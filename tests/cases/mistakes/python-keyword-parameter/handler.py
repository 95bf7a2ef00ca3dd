def handler(payload, ctx, *, limit):
    return payload[:limit]
