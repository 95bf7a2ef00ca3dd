// The three handlers of the bench for Google's functions framework.
const functions = require("@google-cloud/functions-framework");

functions.http("handler", async (request, response) => {
  if (request.path === "/echo") {
    response.type("application/octet-stream").send(request.rawBody);
    return;
  }
  if (request.path === "/wait") {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const { name, id } = request.body;
  response.json({ greeting: `Hello, ${name}!`, id });
});
