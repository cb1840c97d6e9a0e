// The client in a runtime of its own: client.mjs ENTRY URL OPTIONS. Prints the result as JSON.
const argv = globalThis.Deno ? Deno.args : process.argv.slice(2);
const [entry, url, json] = argv;
const options = JSON.parse(json);
// The platform loads its own parts before they lack what they need.
if (options.isBare) await Promise.all([fetch(options.control), WebSocket]);
if (options.isBare) for (const name of ["EventTarget", "MessageEvent", "document", "navigator"]) Reflect.deleteProperty(globalThis, name);
const { createRequire } = options.isCommonJs ? await import("node:module") : {};
const { PulseSocket } = createRequire ? createRequire(import.meta.url)(entry) : await import(entry);
const { exactlyOnce } = await import("./exactly_once.mjs");
const isDone = async () => (await (await fetch(options.control)).text()) === "over";
console.log(JSON.stringify(await exactlyOnce(PulseSocket, url, { ...options, isDone })));
if (globalThis.Deno) Deno.exit(0);
else process.exit(0);
