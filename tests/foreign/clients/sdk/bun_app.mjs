// An app on one of the newer SDKs, on Bun, in a process of its own: `bun bun_app.mjs PACKAGE API_KEY KIND`, spoken to over the
// IPC channel. It says the same events as sdk_app.mjs. KIND: `hono` or `alpha`, the `AppServer` of 3.0.0-hono.8 or 3.0.0-alpha.4;
// `mini`, the `MiniAppServer` of 3.0.0-alpha.4.
//
// `start()` would only ask a server on the Internet for the newest version. These servers are Hono apps, and Bun serves them.

import { disconnected, hex, obey, say, sessions, telling } from "./app.mjs";

const [packageName, apiKey, kind] = process.argv.slice(2);
// Both are `@mentra/sdk`; package.json gives each a name of its own.
const sdk = kind === "hono" ? await import("sdk-hono") : await import("sdk-alpha");

/** The same in the words of the newer interface, which has callbacks, and whose button presses have no fields but two. */
function mini() {
  const app = new sdk.MiniAppServer({ packageName, apiKey, port: 0 });
  app.onSession((session) => {
    const { sessionId, userId } = session;
    sessions.set(sessionId, { layouts: session.display });
    session.device.onButtonPress((data) => say("data", { stream: "button_press", sessionId, data: { ...data, n: Number(data.buttonId) } }));
    session.device.onHeadPosition((data) => say("data", { stream: "head_position", sessionId, data }));
    session.mic.onChunk((chunk) => say("data", { stream: "audio_chunk", sessionId, data: hex(chunk.data) }));
    session.onReconnected(() => say("resumed", { sessionId }));
    session.onDisconnected(disconnected(sessionId));
    session.onStopped((reason) => say("stopped", { sessionId, reason }));
    say("session", { sessionId, userId });
  });
  app.onStop((session, reason) => say("stop", { sessionId: session?.sessionId, userId: session?.userId, reason }));
  return app;
}

const app = kind === "mini" ? mini() : new (telling(sdk.AppServer))({ packageName, apiKey, port: 0 });

obey(app);

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    const webhook = request.method === "POST" && new URL(request.url).pathname === "/webhook";
    if (webhook) say("webhook", await request.clone().json());
    const response = await app.fetch(request);
    if (webhook) say("webhook_answered", { status: response.status });
    return response;
  },
});
say("listening", { port: server.port });
