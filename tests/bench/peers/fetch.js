// The three handlers of the bench for `deno serve` and workerd.
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/echo") {
      return new Response(await request.arrayBuffer());
    }
    if (pathname === "/wait") {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const { name, id } = await request.json();
    return Response.json({ greeting: `Hello, ${name}!`, id });
  },
};
