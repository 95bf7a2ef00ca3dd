async def handler(payload, ctx, database):
    return database.find(payload)
