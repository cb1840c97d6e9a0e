// A TCP proxy that breaks connections in every way that a network has: cut at any byte, reset, black hole, half open, refused.
import { createServer, connect } from "node:net";

/** A proxy to a port of the loopback. */
export async function faultyProxy(port) {
  const self = { port: 0, links: new Set(), refusing: false, accepted: 0, target: port, up: 0, down: 0 };
  const server = createServer((client) => {
    self.accepted++;
    if (self.refusing) return client.resetAndDestroy();
    const upstream = connect(self.target, "127.0.0.1");
    const link = { client, upstream, isHole: false, halfOpen: false, cutAt: Infinity, passed: 0 };
    self.links.add(link);
    const end = () => {
      self.links.delete(link);
      if (link.isHole) return;
      client.destroy();
      if (!link.halfOpen) upstream.destroy();
    };
    const pass = (from, to, way) => {
      from.on("data", (data) => {
        if (link.isHole) return;
        const room = link.cutAt - link.passed;
        self[way] += data.length;
        link.passed += data.length;
        if (data.length < room) {
          if (!to.write(data)) { from.pause(); to.once("drain", () => from.resume()); }
          return;
        }
        // Everything up to the byte is sent; what follows is lost.
        link.cutAt = Infinity;
        to.write(data.subarray(0, room), () => self.break(link, link.how));
        link.isHole = true;
      });
      from.on("close", end);
      from.on("error", () => {});
    };
    pass(client, upstream, "up");
    pass(upstream, client, "down");
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  self.port = server.address().port;
  /** Ends a link: `fin`, `rst`, `hole` (silence), or `half` (the gateway's side stays open, unread). */
  self.break = (link, how) => {
    self.links.delete(link);
    link.isHole = true;
    if (how === "hole") return link.client.resume();
    if (how === "half") { link.halfOpen = true; return link.client.resetAndDestroy(); }
    for (const socket of [link.client, link.upstream]) if (how === "rst") socket.resetAndDestroy(); else socket.destroy();
  };
  self.breakAll = (how) => [...self.links].forEach((link) => self.break(link, how));
  /** Breaks each link after so many more bytes. */
  self.breakAfter = (bytes, how) => self.links.forEach((link) => Object.assign(link, { cutAt: link.passed + bytes, how }));
  self.stop = () => { self.breakAll("fin"); server.close(); };
  return self;
}
