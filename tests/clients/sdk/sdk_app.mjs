// An app on the real SDK, in a process of its own: `sdk_app.mjs PACKAGE API_KEY`, spoken to over the IPC channel.
//
// `AppServer.start()` would do the same and ask a server on the Internet for the newest version; so its Express app is
// given a listener here.

import { createServer } from "node:http";
import { AppServer } from "@mentra/sdk";

const [packageName, apiKey] = process.argv.slice(2);
const say = (event, fields) => process.connected && process.send({ event, at: Date.now(), ...fields });
const sessions = new Map();

class App extends AppServer {
  async onSession(session, sessionId, userId) {
    sessions.set(sessionId, session);
    session.events.onButtonPress((data) => say("data", { stream: "button_press", sessionId, data }));
    session.events.onHeadPosition((data) => say("data", { stream: "head_position", sessionId, data }));
    session.events.onAudioChunk((chunk) =>
      say("data", { stream: "audio_chunk", sessionId, data: Buffer.from(chunk.arrayBuffer).toString("hex") }),
    );
    // Not of the first time: that was before this.
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

const app = new App({ packageName, apiKey, port: 0 });

process.on("message", (ask) => {
  const session = sessions.get(ask.sessionId);
  switch (ask.do) {
    case "show":
      session.layouts.showTextWall(ask.text);
      break;
    case "card":
      // It throws if the session is not connected, where the text wall only logs.
      try {
        session.layouts.showReferenceCard("n", String(ask.n));
        say("sent", { sessionId: ask.sessionId, n: ask.n });
      } catch {
        say("unsent", { sessionId: ask.sessionId, n: ask.n });
      }
      break;
    case "state":
      say("state", { active: app.activeSessions.size });
      break;
    default:
      throw new Error(`what is ${ask.do}?`);
  }
});
process.on("disconnect", () => process.exit(0));

const server = createServer((request, response) => {
  if (request.method === "POST" && request.url === "/webhook") {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => say("webhook", JSON.parse(body)));
    response.on("finish", () => say("webhook_answered", { status: response.statusCode }));
  }
  app.getExpressApp()(request, response);
});
server.listen(0, "127.0.0.1", () => say("listening", { port: server.address().port }));
