class handler:
    def __call__(self, payload, ctx):
        return payload
