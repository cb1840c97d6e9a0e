// The package as `npm pack` makes it: its entry points, its types, what importing does, and the hook of React in a page.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { test } from "node:test";

const client = fileURLToPath(new URL("../../../src/client/js", import.meta.url));
const packages = fileURLToPath(new URL("../../../node_modules", import.meta.url));
const place = mkdtempSync(join(tmpdir(), "pulse-package-"));
const modules = join(place, "node_modules");

/** Installs the package into a folder of its own, beside React. */
function install() {
  const [{ filename, files }] = JSON.parse(execFileSync("npm", ["pack", "--json", "--pack-destination", place], { cwd: client, encoding: "utf8" }));
  mkdirSync(join(modules, "pulsegate"), { recursive: true });
  execFileSync("tar", ["xzf", join(place, filename), "-C", join(modules, "pulsegate"), "--strip-components=1"]);
  for (const name of ["react", "react-dom", "scheduler", "@types", "csstype", "jsdom", "graphql", "graphql-ws"]) symlinkSync(join(packages, name), join(modules, name));
  return files.map(({ path }) => path);
}

const files = install();
const require = createRequire(join(place, "index.cjs"));

test("the package has what its entry points name", async () => {
  const { exports } = JSON.parse(readFileSync(join(client, "package.json")));
  for (const entry of Object.values(exports)) {
    for (const { types, default: code } of Object.values(entry)) for (const path of [types, code]) assert.ok(files.includes(path.slice(2)), path);
  }
  writeFileSync(join(place, "index.mjs"), `export * as main from "pulsegate"; export * as react from "pulsegate/react"; export * as testing from "pulsegate/testing";`);
  const { main, react, testing } = await import(pathToFileURL(join(place, "index.mjs")));
  assert.deepEqual(Object.keys(main).sort(), ["PulseSocket", "QuotaExceededError", "VERSION", "default"]);
  assert.deepEqual([Object.keys(react), Object.keys(testing).sort()], [["usePulseSocket"], ["FakePulse", "FakeSocket", "VirtualClock"]]);
  assert.equal(typeof require("pulsegate").PulseSocket, "function");
  assert.equal(typeof require("pulsegate/react").usePulseSocket, "function");
  assert.equal(typeof require("pulsegate/testing").FakePulse, "function");
});

test("the version is that of the package and of the crate", () => {
  const { version } = JSON.parse(readFileSync(join(client, "package.json")));
  assert.equal(require("pulsegate").VERSION, version);
});

test("importing does nothing, even without the platform", () => {
  const script = `
    for (const name of ["EventTarget", "MessageEvent", "navigator", "WebSocket", "setTimeout", "AbortController"]) delete globalThis[name];
    const before = Reflect.ownKeys(globalThis).length;
    import("pulsegate").then((m) => { if (Reflect.ownKeys(globalThis).length !== before || !m.PulseSocket) process.exit(1); });`;
  writeFileSync(join(place, "bare.mjs"), script);
  execFileSync(process.execPath, ["bare.mjs"], { cwd: place });
});

test("the types hold in a strict program, with either kind of module", () => {
  const program = `
    import { PulseSocket, QuotaExceededError, type Attempt } from "pulsegate";
    import { FakePulse } from "pulsegate/testing";
    import { usePulseSocket } from "pulsegate/react";
    const fake = new FakePulse({ latencyMs: 5 });
    const socket = new PulseSocket(async (a: Attempt) => new URL("ws://x/" + a.why), (a) => ["p" + a.n], { ...fake.options, shouldReconnect: (c) => c.n < 5 });
    socket.onreset = (event) => { const all: unknown[] = event.unconfirmed.slice(event.sent); socket.send(String(all.length)); };
    socket.addEventListener("suspend", ({ retryMs, class: why }) => { const n: number = retryMs; console.log(n, why === "blip"); }, { once: true });
    // @ts-expect-error: there is no such event
    socket.addEventListener("reopen", () => {});
    // @ts-expect-error: not a message
    socket.send(1);
    try { socket.send(new Uint8Array(1)); } catch (error) { console.log(error instanceof QuotaExceededError); }
    export const useChat = () => usePulseSocket("ws://x", undefined, { message: ({ data }) => console.log(data) }).state === "open";
  `;
  writeFileSync(join(place, "program.mts"), program);
  writeFileSync(join(place, "program.cts"), program);
  const flags = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom", "--types", ""];
  execFileSync(join(packages, ".bin/tsc"), [...flags, "program.mts", "program.cts"], { cwd: place, stdio: ["ignore", "inherit", "inherit"] });
});

test("usePulseSocket in StrictMode: one connection, which closes with the component", async () => {
  const { JSDOM } = require("jsdom");
  const { window } = new JSDOM("<div id=root></div>");
  Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: true });
  const React = require("react");
  const { createRoot } = require("react-dom/client");
  const { usePulseSocket } = require("pulsegate/react");
  const { FakePulse } = require("pulsegate/testing");
  const gateway = new FakePulse();
  const seen = [];
  let current;
  function Chat({ room, tag }) {
    const { socket, state } = usePulseSocket(`ws://service/${room}`, undefined, { message: ({ data }) => seen.push(`${tag} ${data}`) }, gateway.options);
    current = socket;
    return React.createElement("p", null, state);
  }
  const root = createRoot(window.document.getElementById("root"));
  const render = async (props) => {
    await React.act(async () => root.render(props && React.createElement(React.StrictMode, null, React.createElement(Chat, props))));
    // The socket of a component that has gone closes in a timer of the platform.
    await React.act(() => new Promise((done) => setTimeout(done)));
    await React.act(() => gateway.advance(10));
  };
  const text = () => window.document.querySelector("p")?.textContent;
  await render({ room: "a", tag: "first" });
  assert.deepEqual([text(), gateway.tries.length], ["open", 1]);
  const first = current;
  gateway.send("1");
  await render({ room: "a", tag: "second" });
  gateway.send("2");
  await React.act(() => gateway.advance(10));
  assert.deepEqual([seen, current === first, gateway.tries.length], [["second 1", "second 2"], true, 1]);
  await React.act(async () => { gateway.cut(); });
  assert.equal(text(), "suspended");
  await React.act(() => gateway.advance(1000));
  assert.equal(text(), "open");
  await render({ room: "b", tag: "third" });
  assert.deepEqual([first.state, gateway.tries.at(-1).url, text()], ["closed", "ws://service/b?pulse=1", "open"]);
  await render(null);
  assert.deepEqual([current.state, gateway.tries.length], ["closed", 3]);
});

test("graphql-ws over it: a subscription goes on through a loss", async () => {
  const { createClient } = require("graphql-ws");
  const { PulseSocket } = require("pulsegate");
  const { FakePulse } = require("pulsegate/testing");
  const gateway = new FakePulse();
  class Socket extends PulseSocket {
    constructor(url, protocols) { super(url, protocols, gateway.options); }
  }
  const client = createClient({ url: "ws://service/graphql", webSocketImpl: Socket, retryAttempts: 0 });
  const values = [];
  client.subscribe({ query: "subscription { n }" }, { next: ({ data }) => values.push(data.n), error: assert.fail, complete: () => values.push("complete") });
  await gateway.advance(10);
  assert.equal(JSON.parse(gateway.received[0]).type, "connection_init");
  gateway.send('{"type":"connection_ack"}');
  await gateway.advance(10);
  const { id, type } = JSON.parse(gateway.received[1]);
  assert.equal(type, "subscribe");
  const next = (n) => gateway.send(JSON.stringify({ id, type: "next", payload: { data: { n } } }));
  next(1);
  await gateway.advance(10);
  gateway.cut("silence");
  next(2);
  await gateway.advance(60_000);
  next(3);
  gateway.send(JSON.stringify({ id, type: "complete" }));
  await gateway.advance(10);
  assert.deepEqual([values, gateway.tries[0].protocols, gateway.tries.length], [[1, 2, 3, "complete"], ["graphql-transport-ws"], 2]);
});

test("graphql-ws connects anew when a session was lost", async () => {
  const { createClient } = require("graphql-ws");
  const { PulseSocket } = require("pulsegate");
  const { FakePulse } = require("pulsegate/testing");
  const gateway = new FakePulse();
  // As in docs/clients.md.
  class GraphqlSocket extends PulseSocket {
    constructor(url, protocols) {
      super(url, protocols, gateway.options);
      this.addEventListener("reset", () => this.close(4205, "session lost"));
    }
  }
  const client = createClient({ url: "ws://service/graphql", webSocketImpl: GraphqlSocket, retryWait: async () => {} });
  client.subscribe({ query: "subscription { n }" }, { next: () => {}, error: assert.fail, complete: () => {} });
  const types = () => gateway.received.map((text) => JSON.parse(text).type);
  await gateway.advance(10);
  gateway.send('{"type":"connection_ack"}');
  await gateway.advance(10);
  gateway.cut();
  gateway.loseSession();
  for (let i = 0; i < 20; i++) {
    await new Promise(setImmediate);
    await gateway.advance(100);
  }
  gateway.send('{"type":"connection_ack"}');
  await gateway.advance(10);
  assert.deepEqual(types(), ["connection_init", "subscribe", "connection_init", "subscribe"]);
});
