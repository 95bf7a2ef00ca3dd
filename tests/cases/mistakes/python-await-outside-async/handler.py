import asyncio


def handler(payload, ctx):
    await asyncio.sleep(0)
    return payload
