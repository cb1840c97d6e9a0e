// An app on the real SDK, in a process of its own: `sdk_app.mjs PACKAGE API_KEY`, spoken to over the IPC channel.
//
// `AppServer.start()` would do the same and ask a server on the Internet for the newest version; so its Express app is
// given a listener here.

import { createServer } from "node:http";
import { AppServer } from "@mentra/sdk";
import { obey, say, sessions, telling } from "./app.mjs";

const [packageName, apiKey] = process.argv.slice(2);
const app = new (telling(AppServer))({ packageName, apiKey, port: 0 });

obey(app, {
  card({ sessionId, n }) {
    // It throws if the session is not connected, where the text wall only logs.
    try {
      sessions.get(sessionId).layouts.showReferenceCard("n", String(n));
      say("sent", { sessionId, n });
    } catch {
      say("unsent", { sessionId, n });
    }
  },
});

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
