// What sdk_app.mjs and bun_app.mjs share: they say events over the IPC channel, and do what they are asked over it.

export const say = (event, fields) => process.connected && process.send({ event, at: Date.now(), ...fields });

/** By session id. */
export const sessions = new Map();

export const hex = (bytes) => Buffer.from(bytes).toString("hex");

/** Says that a session has lost its connection. */
export const disconnected = (sessionId) => (info) =>
  say("disconnected", { sessionId, code: info.code, reason: String(info.reason ?? ""), permanent: info.permanent === true });

/** An `AppServer` of any of the SDKs that says what happens to it. */
export const telling = (AppServer) =>
  class extends AppServer {
    async onSession(session, sessionId, userId) {
      sessions.set(sessionId, session);
      const data = (stream) => (data) => say("data", { stream, sessionId, data });
      session.events.onButtonPress(data("button_press"));
      session.events.onHeadPosition(data("head_position"));
      session.events.onAudioChunk((chunk) => say("data", { stream: "audio_chunk", sessionId, data: hex(chunk.arrayBuffer) }));
      // Not of the first time: that was before this.
      session.events.onConnected(() => say("resumed", { sessionId }));
      session.events.onDisconnected(disconnected(sessionId));
      say("session", { sessionId, userId });
    }

    async onStop(sessionId, userId, reason) {
      say("stop", { sessionId, userId, reason });
      return super.onStop(sessionId, userId, reason);
    }
  };

/** Does what it is asked: each of `asks` by its name, besides those that every app knows. */
export function obey(app, asks = {}) {
  const all = {
    show: ({ sessionId, text }) => sessions.get(sessionId).layouts.showTextWall(text),
    state: () => say("state", { active: app.activeSessions.size }),
    ...asks,
  };
  process.on("message", (ask) => {
    if (!Object.hasOwn(all, ask.do)) throw new Error(`what is ${ask.do}?`);
    all[ask.do](ask);
  });
  process.on("disconnect", () => process.exit(0));
}
