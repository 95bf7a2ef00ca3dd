// A worker that waits for its app: Deno is up, and what SDK and app need first has been used once. The host tells it
// once which app it is; importing that starts the SDK that the app's bundle carries. See docs/reference/warm.md.

// The first connection to it is this file's, the second that of the app's SDK.
const path = Deno.env.get("IGNITE_WORKER_SOCKET");
if (path === undefined) {
  console.error("ignite: this is started by a host");
  Deno.exit(2);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Uses what most bundles use, so that it is loaded and compiled before an app waits for it. */
async function warmUp() {
  const headers = new Headers([["content-type", "application/json"]]);
  const response = new Response(JSON.stringify({ a: [1, "b"] }), { headers });
  JSON.parse(decoder.decode(new Uint8Array(await response.arrayBuffer())));
  for await (const _ of new Response("a").body) { /* a stream */ }
  new URL("http://localhost/?a=b").searchParams.get("a");
  new AbortController().abort();
  addEventListener("unhandledrejection", ignore);
  removeEventListener("unhandledrejection", ignore);
  await import("data:text/javascript,export default 1");
}
function ignore() {}

await warmUp();
const control = await Deno.connect({ transport: "unix", path });
await control.write(encoder.encode("{}\n"));
let text = "";
const buffer = new Uint8Array(64 * 1024);
while (!text.endsWith("\n")) {
  const count = await control.read(buffer);
  if (count === null) Deno.exit(0); // the host is gone before it said which app
  text += decoder.decode(buffer.subarray(0, count), { stream: true });
}
control.close();

const { folder, entrypoint, env } = JSON.parse(text);
for (const name of Object.keys(Deno.env.toObject())) {
  if (!(name in env)) Deno.env.delete(name);
}
for (const [name, value] of Object.entries(env)) Deno.env.set(name, value);
Deno.chdir(folder);
const url = new URL("file:///");
url.pathname = `${folder}/${entrypoint}`.split("/").map(encodeURIComponent).join("/");
await import(url.href);
