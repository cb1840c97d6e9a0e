// A TCP proxy whose connections can be hurt in every way that a network knows.

import { connect, createServer } from "node:net";

export class Proxy {
  links = new Set();
  /** Accepted since the start, refused ones included. */
  accepted = 0;
  /** Ends newcomers at once, as a network that is down. */
  down = false;

  static async start() {
    const proxy = new Proxy();
    proxy.server = createServer({ pauseOnConnect: true }, (client) => proxy.#accept(client));
    await new Promise((resolve) => proxy.server.listen(0, "127.0.0.1", resolve));
    proxy.port = proxy.server.address().port;
    return proxy;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** Those of a session, by what their first message said, oldest first; all if none is named. */
  of(session) {
    return [...this.links].filter((link) => !link.over && (session === undefined || link.session === session));
  }

  /** The newest of those, once it has its ack: the one that counts. An older one may linger, thawed or not. */
  current(session) {
    const link = this.of(session).at(-1);
    return link?.acked ? link : undefined;
  }

  close() {
    this.server.close();
    for (const link of this.links) link.cut();
  }

  #accept(client) {
    this.accepted += 1;
    client.on("error", () => {});
    if (this.down || !this.target) return client.destroy();
    const upstream = connect(this.target, "127.0.0.1");
    upstream.on("error", () => {});
    this.links.add(new Link(this, client, upstream));
  }
}

class Link {
  /** `sessionId` of the app's first message that passed, if one did, else `x-session-id` of its request. */
  session = undefined;
  /** Whether the gateway's ack passed. */
  acked = false;
  over = false;
  frozen = false;
  #peeked = Buffer.alloc(0);
  #answered = Buffer.alloc(0);

  constructor(proxy, client, upstream) {
    Object.assign(this, { proxy, client, upstream });
    client.setNoDelay();
    upstream.setNoDelay();
    client.on("data", (bytes) => {
      this.#peek(bytes);
      if (!upstream.write(bytes)) client.pause();
    });
    upstream.on("data", (bytes) => {
      this.#awaitAck(bytes);
      // What a ghost is sent is never read.
      if (!client.destroyed && !client.write(bytes)) upstream.pause();
    });
    upstream.on("drain", () => this.frozen || client.resume());
    client.on("drain", () => this.frozen || upstream.resume());
    for (const [one, other] of [[client, upstream], [upstream, client]]) {
      one.on("end", () => other.end());
      one.on("close", (broken) => {
        // What is on its way to the other still gets there, unless this one broke.
        if (broken && !this.ghostly) other.destroy();
        else if (!this.ghostly) other.end();
        this.over = true;
        if (client.destroyed && upstream.destroyed) proxy.links.delete(this);
      });
    }
    client.resume();
  }

  /** Ends both sides: with FIN, or with RST. */
  cut(how = "end") {
    this.over = true;
    for (const socket of [this.client, this.upstream]) {
      if (how === "reset") socket.resetAndDestroy();
      else socket.destroy();
    }
  }

  /** Forwards nothing any more, in neither direction; neither side is told. */
  freeze() {
    this.frozen = true;
    this.client.pause();
    this.upstream.pause();
  }

  /** Forwards again, first what has gathered. */
  thaw() {
    this.frozen = false;
    this.client.resume();
    this.upstream.resume();
  }

  /** The client's side is reset; the other hears nothing of it, until it finds out by itself. */
  ghost() {
    this.ghostly = true;
    this.over = true;
    this.client.removeAllListeners("end");
    this.client.resetAndDestroy();
    this.upstream.on("close", () => this.proxy.links.delete(this));
  }

  #awaitAck(bytes) {
    if (this.acked) return;
    this.#answered = Buffer.concat([this.#answered, bytes]);
    // `connection_ack` to glasses, `tpa_connection_ack` or `reconnect_ack` to an app; what a server says is not masked.
    this.acked = /connect(ion)?_ack"/.test(this.#answered.toString("latin1"));
    if (this.acked) this.#answered = undefined;
  }

  /** Looks for the session in the client's first message. */
  #peek(bytes) {
    if (!this.#peeked) return;
    this.#peeked = Buffer.concat([this.#peeked, bytes]);
    const head = this.#peeked.indexOf("\r\n\r\n");
    if (head < 0) return;
    this.session ??= this.#peeked.subarray(0, head).toString().match(/\r\nx-session-id: *([^\r]*)/i)?.[1];
    const frame = this.#peeked.subarray(head + 4);
    if (frame.length < 2) return;
    const short = frame[1] & 0x7f;
    const at = short < 126 ? 2 : 4;
    if ((frame[0] & 0x0f) !== 1 || short === 127) {
      this.#peeked = undefined;
      return;
    }
    const length = short < 126 ? short : frame.length < 4 ? Infinity : frame.readUInt16BE(2);
    if (frame.length < at + 4 + length) return;
    const mask = frame.subarray(at, at + 4);
    const text = Buffer.from(frame.subarray(at + 4, at + 4 + length)).map((byte, i) => byte ^ mask[i % 4]);
    this.#peeked = undefined;
    try {
      this.session = JSON.parse(text.toString()).sessionId ?? this.session;
    } catch {
      // Not an app's; it has no name then.
    }
  }
}
