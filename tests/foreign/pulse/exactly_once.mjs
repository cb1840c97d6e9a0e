// Numbered messages both ways through a network that breaks: nothing is lost, doubled or reordered. Runs in the client's runtime.
import { check, make } from "./numbered.mjs";

/** A clock that runs `speed` times as fast: at most ten tries in one of its minutes. */
function fastClock(speed) {
  const start = Date.now();
  return {
    now: () => start + Math.round((Date.now() - start) * speed),
    setTimeout: (run, ms) => setTimeout(run, ms / speed),
    clearTimeout: (timer) => clearTimeout(timer),
  };
}

/** Sends `count` numbered messages, and more until `isDone`. Returns what happened. */
export async function exactlyOnce(PulseSocket, url, { count, most, speed, limitMs, isDone = async () => true }) {
  const environment = fastClock(speed);
  const socket = new PulseSocket(url, [], { maxBufferedBytes: 4 << 20, environment, shouldReconnect: () => 50 });
  socket.binaryType = "arraybuffer";
  const seen = { received: 0, sent: 0, faults: [], resumes: 0, resets: 0, opens: 0, suspends: 0, classes: {}, quota: 0, close: null, unconfirmedAtLoss: 0 };
  let wake = () => {};
  socket.onopen = () => { seen.opens++; wake(); };
  socket.onresume = () => { seen.resumes++; wake(); };
  socket.onreset = () => seen.resets++;
  socket.onsuspend = (event) => { seen.suspends++; if (socket.bufferedAmount) seen.unconfirmedAtLoss++; seen.classes[event.class] = (seen.classes[event.class] ?? 0) + 1; };
  socket.ondrain = () => wake();
  socket.onclose = (event) => { seen.close = event.code; wake(); };
  let tail = null;
  socket.onmessage = ({ data }) => {
    if (typeof data === "string" && data.startsWith("count:")) { tail = data; return wake(); }
    const fault = check("s", seen.received, data, most);
    if (fault) seen.faults.push(fault);
    seen.received++;
    if (seen.received % 4 === 0) trySend(`\x01seen:${seen.received}`);
  };
  const trySend = (data) => {
    try { socket.send(data); return true; } catch (error) {
      if (error.name !== "QuotaExceededError") throw error;
      seen.quota++;
      return false;
    }
  };
  const deadline = Date.now() + limitMs;
  const pause = (ms) => new Promise((resolve) => { wake = resolve; setTimeout(resolve, ms); });
  let total = count;
  let isOver = false;
  const ask = setInterval(async () => { isOver ||= await isDone(); }, 300);
  socket.send(`do:send ${count}`);
  while (Date.now() < deadline && seen.close === null) {
    while (seen.sent < total && socket.bufferedAmount < 2 << 20 && trySend(make("c", seen.sent, most))) seen.sent++;
    if (seen.sent === total && seen.received >= total) {
      if (isOver) break;
      // Messages go on while there are disturbances.
      if (trySend("do:send 50")) total += 50;
    }
    await pause(20);
  }
  clearInterval(ask);
  socket.send("do:count");
  while (tail === null && Date.now() < deadline && seen.close === null) await pause(20);
  const [, counted, faults, first] = (tail ?? "::none:").split(":");
  const quality = { ...socket.quality };
  socket.close(1000, "done");
  while (seen.close === null && Date.now() < deadline + 5000) await pause(20);
  return { ...seen, total, counted: Number(counted), serviceFaults: faults, firstServiceFault: first, quality };
}
