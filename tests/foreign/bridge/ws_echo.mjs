// An echo server that we did not write (npm `ws`): `ws_echo.mjs [deflate]`. Says on stderr where it listens.

import { WebSocketServer } from "ws";

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  perMessageDeflate: process.argv[2] === "deflate",
  maxPayload: 0,
  // The suite sends a message in 65 536 fragments.
  maxFragments: 0,
  maxBufferedChunks: 0,
});
server.on("listening", () => console.error(`listen=127.0.0.1:${server.address().port}`));
server.on("connection", (peer) => {
  peer.on("error", () => {});
  peer.on("message", (data, binary) => peer.send(data, { binary }));
});
