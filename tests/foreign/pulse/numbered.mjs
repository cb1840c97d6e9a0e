// Numbered messages of 1 B to 1 MiB, texts and binary ones, that each side can make and check. Runs everywhere.

/** A number that looks random and depends on `n` only. */
const mix = (n) => {
  let t = Math.imul(n ^ 0x9e3779b9, 0x85ebca6b) ^ n;
  t = Math.imul(t ^ (t >>> 15), 0xc2b2ae35);
  return (t ^ (t >>> 13)) >>> 0;
};

/** The length of message `n`: mostly short, at times long, evenly on a logarithmic scale. */
const lengthOf = (n, most) => Math.floor(2 ** ((mix(n) / 2 ** 32) ** 2 * Math.log2(most)));

/** Message `n` of a side: its number, then filling. One in eight is binary, one in eight begins with 0x01. */
export function make(side, n, most) {
  const head = `${side}${n};`;
  const kind = mix(n + 7) % 8;
  const text = (kind === 1 ? "\x01" : "") + head + "x".repeat(Math.max(0, Math.min(lengthOf(n, most), most) - head.length - 1));
  return kind === 0 ? new TextEncoder().encode(text) : text;
}

/** What is wrong with a message that should be message `n` of a side; undefined if nothing is. */
export function check(side, n, data, most) {
  const isText = typeof data === "string";
  const text = isText ? data : new TextDecoder().decode(data);
  const expected = make(side, n, most);
  const wanted = typeof expected === "string" ? expected : new TextDecoder().decode(expected);
  if (text === wanted && isText === (typeof expected === "string")) return undefined;
  return `message ${n}: got ${isText ? "text" : "binary"} ${JSON.stringify(text.slice(0, 20))} of ${text.length}, not ${JSON.stringify(wanted.slice(0, 20))} of ${wanted.length}`;
}
