// A WebSocket service that knows nothing of gateways: it logs the numbered messages that it
// receives and sends numbered ones of its own. What it logs is the proof.
import { WebSocketServer } from "ws";
import { check, make } from "./numbered.mjs";

/** A service on a port of the loopback, with one record for each connection that it has had. */
export async function service({ most = 1 << 20, window = 8 } = {}) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false, maxPayload: 2 << 20 });
  await new Promise((done) => server.once("listening", done));
  const connections = [];
  server.on("connection", (socket, request) => {
    const record = { url: request.url, protocol: socket.protocol, received: 0, faults: [], sent: 0, toSend: 0, socket, acknowledged: 0 };
    connections.push(record);
    const pump = () => {
      // A window, so that messages wait at every place between the two sides.
      while (record.sent < record.toSend && record.sent - record.acknowledged < window) socket.send(make("s", record.sent++, most));
    };
    record.send = (count) => { record.toSend += count; pump(); };
    socket.on("message", (data, isBinary) => {
      const text = isBinary ? null : data.toString();
      if (text?.startsWith("\x01seen:")) { record.acknowledged = Number(text.slice(6)); return pump(); }
      if (text?.startsWith("do:")) return command(socket, record, text.slice(3));
      const fault = check("c", record.received, text ?? data, most);
      if (fault) record.faults.push(fault);
      record.received++;
    });
    socket.on("close", (code, reason) => Object.assign(record, { code, reason: reason.toString() }));
  });
  return { url: `ws://127.0.0.1:${server.address().port}`, connections, stop: () => { server.clients.forEach((c) => c.terminate()); server.close(); } };
}

function command(socket, record, text) {
  if (text === "stream") record.send(Infinity);
  if (text !== "stop") return;
  record.toSend = record.sent;
  socket.send(`count:${record.received}:${record.faults.length}:${record.faults[0] ?? ""}`);
}
