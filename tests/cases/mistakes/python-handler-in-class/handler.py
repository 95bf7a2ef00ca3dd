class Greeter:
    def handler(self, payload, ctx):
        return "hello"
