// A client that we did not write (npm `ws`) does the cases of Autobahn's fuzzing server, one after the other, and echoes:
// `ws_cases.mjs URL AGENT [deflate]`.

import WebSocket from "ws";

const [url, agent, deflate] = process.argv.slice(2);

/** Connects, hands each message to `take`, and resolves when the connection has ended. */
function visit(path, take) {
  return new Promise((resolve) => {
    // The suite sends a message in 65 536 fragments.
    const limits = { maxPayload: 0, maxFragments: 0, maxBufferedChunks: 0 };
    const peer = new WebSocket(`${url}${path}`, { perMessageDeflate: deflate === "deflate", ...limits });
    peer.on("message", (data, binary) => take(peer, data, binary));
    peer.on("error", () => {});
    peer.on("close", resolve);
  });
}

let count = 0;
await visit("/getCaseCount", (_, data) => (count = Number(data.toString())));
for (let n = 1; n <= count; n++) {
  await visit(`/runCase?case=${n}&agent=${agent}`, (peer, data, binary) => peer.send(data, { binary }));
}
await visit(`/updateReports?agent=${agent}`, () => {});
