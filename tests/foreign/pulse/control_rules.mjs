// What the gateway's parser (src/pulse/) takes of a client: the shapes of reports and states. Says what is wrong, or nothing.

const CLASSES = ["told", "over", "replaced", "rejected", "fault", "restart", "overload", "offline", "slept", "flap", "idle_cut", "blip", "unreachable"];
const ENDS = ["watchdog", "close", "error", "sleep", "offline", "local", "never_open"];
const number = (value) => Number.isSafeInteger(value) && value >= 0;
const name = (value) => typeof value === "string" && value.length <= 40 && /^[A-Za-z0-9._+-]*$/.test(value);
const text = (value) => typeof value === "string";
const one = (list) => (value) => list.includes(value);
const shape = (fields, required) => (value) =>
  value !== null && typeof value === "object" && required.every((field) => field in value) &&
  Object.entries(value).every(([field, inner]) => field in fields && fields[field](inner));
const few = (most, rule) => (value) => Array.isArray(value) && value.length <= most && value.every(rule);

const tried = shape({ ago: number, ms: number, phase: one(["hello"]), why: one(["timeout", "other"]) }, ["ago", "ms"]);
const ended = shape({
  conn: name, end: one(ENDS), code: number, opened_ago: number, heard_ago: number, ended_ago: number, clock_gap: number,
  pings: shape({ seen: number, late: number }, ["seen", "late"]), rtt: shape({ p50: number, max: number }, ["p50", "max"]),
  net: shape({ then: text, now: text }, ["then", "now"]), page: shape({ vis: text }, ["vis"]), class: one(CLASSES), tries: few(8, tried),
}, ["end", "ended_ago"]);
const report = shape({ v: one([1]), rt: name, lib: name, start: one(["same", "new"]), ended: few(3, ended) }, ["v", "rt", "lib", "start", "ended"]);
const state = shape({ net: text, vis: text, saver: (value) => typeof value === "boolean", want_ms: number }, []);

/** What is wrong with a control frame of a client; undefined if nothing is. */
export function frameFault(frame) {
  if (frame.report && !report(frame.report)) return `a report: ${JSON.stringify(frame.report)}`;
  if (frame.report && JSON.stringify(frame.report).length > 2048) return `a report of ${JSON.stringify(frame.report).length} bytes`;
  if (frame.state && !state(frame.state)) return `a state: ${JSON.stringify(frame.state)}`;
  return undefined;
}
