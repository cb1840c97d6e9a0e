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

/** The most messages that are sent in one go. */
const BURST = 12;

/** Sends numbered messages without a pause until `isDone`, and receives as many. Returns what happened. */
export async function exactlyOnce(PulseSocket, url, { most, ahead, speed, limitMs, isDone = async () => true }) {
  const environment = fastClock(speed);
  const socket = new PulseSocket(url, [], { maxBufferedBytes: 4 << 20, environment, shouldReconnect: () => 50 });
  socket.binaryType = "arraybuffer";
  const seen = { received: 0, sent: 0, faults: [], resumes: 0, resets: 0, opens: 0, suspends: 0, classes: {}, close: null, unconfirmedAtLoss: 0, strange: [] };
  let wake = () => {};
  socket.onopen = () => { seen.opens++; wake(); };
  socket.onresume = () => { seen.resumes++; wake(); };
  socket.onreset = () => seen.resets++;
  socket.onsuspend = (event) => {
    seen.suspends++; if (socket.bufferedAmount) seen.unconfirmedAtLoss++; seen.classes[event.class] = (seen.classes[event.class] ?? 0) + 1;
    // A network that breaks closes nothing properly.
    if (event.wasClean || event.code !== 1006) seen.strange.push([event.class, event.code, event.reason, event.wasClean, socket.session?.id]);
  };
  socket.onclose = (event) => { seen.close = event.code; wake(); };
  let tail = null;
  socket.onmessage = ({ data }) => {
    if (typeof data === "string" && data.startsWith("count:")) { tail = data; return wake(); }
    const fault = check("s", seen.received, data, most);
    if (fault) seen.faults.push(fault);
    seen.received++;
    if (seen.received % 4 === 0) socket.send(`\x01seen:${seen.received}`);
  };
  const deadline = Date.now() + limitMs;
  const pause = (ms) => new Promise((resolve) => { wake = resolve; setTimeout(resolve, ms); });
  let isOver = false;
  const ask = setInterval(async () => { isOver ||= await isDone(); }, 300);
  socket.send("do:stream");
  // Messages go on, both ways, while there are disturbances. What waits must fit between two of them: the service waits for `seen` behind it.
  while (!isOver && Date.now() < deadline && seen.close === null) {
    for (let i = 0; i < BURST && socket.bufferedAmount < ahead; i++) socket.send(make("c", seen.sent++, most));
    await pause(20);
  }
  clearInterval(ask);
  socket.send("do:stop");
  while (tail === null && Date.now() < deadline && seen.close === null) await pause(20);
  const [, counted, faults, first] = (tail ?? "::none:").split(":");
  const quality = { ...socket.quality };
  socket.close(1000, "done");
  while (seen.close === null && Date.now() < deadline + 5000) await pause(20);
  return { ...seen, counted: Number(counted), serviceFaults: faults, firstServiceFault: first, quality };
}
