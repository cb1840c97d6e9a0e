// The client in a browser's worker, which has no document; with `isBare` without the other globals of React Native's lack, too.
const options = await (await fetch("/options")).json();
const fetched = fetch;
if (options.isBare) {
  for (const name of ["EventTarget", "MessageEvent", "navigator"]) Object.defineProperty(self, name, { value: undefined });
}
const { PulseSocket } = await import("/pulse.js");
const { exactlyOnce } = await import("/exactly_once.mjs");
const isDone = async () => (await (await fetched("/control")).text()) === "over";
let result;
try { result = await exactlyOnce(PulseSocket, options.url, { ...options, isDone }); } catch (error) { result = { error: `${error.stack}` }; }
result.globals = ["EventTarget", "MessageEvent", "navigator", "document"].filter((name) => self[name] !== undefined);
await fetched("/result", { method: "POST", body: JSON.stringify(result) });
