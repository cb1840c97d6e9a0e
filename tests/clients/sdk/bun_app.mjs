// An app on one of the newer SDKs, on Bun, in a process of its own: `bun bun_app.mjs PACKAGE API_KEY KIND`, spoken to over the
// IPC channel. It says the same events as sdk_app.mjs. KIND: `hono` or `alpha`, the `AppServer` of 3.0.0-hono.8 or 3.0.0-alpha.4;
// `mini`, the `MiniAppServer` of 3.0.0-alpha.4.
//
// `start()` would only ask a server on the Internet for the newest version. These servers are Hono apps, and Bun serves them.

const [packageName, apiKey, kind] = process.argv.slice(2);
// Both are `@mentra/sdk`; package.json gives each a name of its own.
const sdk = kind === "hono" ? await import("sdk-hono") : await import("sdk-alpha");
const say = (event, fields) => process.connected && process.send({ event, at: Date.now(), ...fields });
/** By session id: `{show(text)}`. */
const sessions = new Map();

const hex = (bytes) => Buffer.from(bytes).toString("hex");

class App extends sdk.AppServer {
  async onSession(session, sessionId, userId) {
    sessions.set(sessionId, { show: (text) => session.layouts.showTextWall(text) });
    const data = (stream) => (data) => say("data", { stream, sessionId, data });
    session.events.onButtonPress(data("button_press"));
    session.events.onHeadPosition(data("head_position"));
    session.events.onAudioChunk((chunk) => say("data", { stream: "audio_chunk", sessionId, data: hex(chunk.arrayBuffer) }));
    session.events.onConnected(() => say("resumed", { sessionId }));
    session.events.onDisconnected((info) =>
      say("disconnected", { sessionId, code: info.code, reason: String(info.reason ?? ""), permanent: info.permanent === true }),
    );
    say("session", { sessionId, userId });
  }

  async onStop(sessionId, userId, reason) {
    say("stop", { sessionId, userId, reason });
    return super.onStop(sessionId, userId, reason);
  }
}

/** The same in the words of the newer interface, which has callbacks, and whose button presses have no fields but two. */
function mini() {
  const app = new sdk.MiniAppServer({ packageName, apiKey, port: 0 });
  app.onSession((session) => {
    const { sessionId, userId } = session;
    sessions.set(sessionId, { show: (text) => session.display.showTextWall(text) });
    session.device.onButtonPress((data) => say("data", { stream: "button_press", sessionId, data: { ...data, n: Number(data.buttonId) } }));
    session.device.onHeadPosition((data) => say("data", { stream: "head_position", sessionId, data }));
    session.mic.onChunk((chunk) => say("data", { stream: "audio_chunk", sessionId, data: hex(chunk.data) }));
    session.onReconnected(() => say("resumed", { sessionId }));
    session.onDisconnected((info) =>
      say("disconnected", { sessionId, code: info.code, reason: String(info.reason ?? ""), permanent: info.permanent === true }),
    );
    session.onStopped((reason) => say("stopped", { sessionId, reason }));
    say("session", { sessionId, userId });
  });
  app.onStop((session, reason) => say("stop", { sessionId: session?.sessionId, userId: session?.userId, reason }));
  return app;
}

const app = kind === "mini" ? mini() : new App({ packageName, apiKey, port: 0 });

process.on("message", (ask) => {
  switch (ask.do) {
    case "show":
      sessions.get(ask.sessionId).show(ask.text);
      break;
    case "state":
      say("state", { active: app.activeSessions.size });
      break;
    default:
      throw new Error(`what is ${ask.do}?`);
  }
});
process.on("disconnect", () => process.exit(0));

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
