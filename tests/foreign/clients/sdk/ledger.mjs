// The books of a run with losses: what each end sent and got, when its connection was sound, and what follows from that.
//
// The delivery promise, as it can be checked from outside. A frame has to arrive if its sender's connection was sound when it
// was sent and for a settling time after, and the receiver
//   - was connected, and its connection stayed sound for the settling time, or
//   - was known to be absent (the gateway had logged the end of its connection), came back within the grace and the age
//     limit, and its new connection stayed sound for the settling time.
// Every other frame was in doubt: it may be missing. No frame may come twice, or after a later one.

/** How long a frame may be on its way, on a busy machine, before it counts as arrived or lost. */
export const SETTLE_MS = 1_000;

/** One end of a session: the glasses of a user, or one app of a user. */
export class End {
  /** As a sender: `{start, end}`, connected and not disturbed. */
  sound = [];
  /** As a receiver: `{start, back, end}`, from when it was known to be absent, or back, to the next disturbance. */
  certain = [];
  /** `dark`: not connected as far as it knows. `live`: connected. `hurt`: its connection is disturbed. */
  state = "dark";
  connecting = false;
  resumes = 0;
  #sound = undefined;
  #certain = undefined;
  /** From when it is sure to be subscribed. `Infinity`: it was disturbed before that, and has to come back first. */
  #subscribed = 0;
  /** Disturbances of its connection that are not over. */
  #wounds = new Set();
  /** Frames sent, as `{n, at}`. */
  sent = [];
  /** By sender: the numbers received, in their order. */
  got = new Map();

  constructor(name) {
    this.name = name;
  }

  /** It begins to connect. */
  dials() {
    this.connecting = true;
  }

  /** It is connected; `fresh`: an app that starts anew, so it is subscribed only some time after. */
  lives(at, fresh) {
    this.resumes += 1;
    this.#close(at);
    this.#wounds.clear();
    this.connecting = false;
    this.state = "live";
    this.#sound = { start: at };
    if (fresh || this.#subscribed === Infinity) this.#subscribed = at + SETTLE_MS;
    if (fresh || !this.#certain) this.#certain = { start: Math.max(at, this.#subscribed) };
    this.#certain.back = at;
  }

  /** Its connection, if it has one, is disturbed from now on. Returns a name for that disturbance. */
  hurts(at) {
    this.#close(at);
    this.#certain = undefined;
    if (at < this.#subscribed) this.#subscribed = Infinity;
    if (this.state === "live") this.state = "hurt";
    const wound = Symbol();
    this.#wounds.add(wound);
    return wound;
  }

  /** That disturbance is over. If no client noticed, and there is no other, it is as before. */
  heals(at, wound) {
    if (!this.#wounds.delete(wound) || this.#wounds.size > 0 || this.state !== "hurt" || this.#certain) return;
    this.state = "live";
    this.#sound = { start: at };
    if (this.#subscribed === Infinity) this.#subscribed = at + SETTLE_MS;
    this.#certain = { start: Math.max(at, this.#subscribed), back: at };
  }

  /** It sees the end of its connection. */
  loses(at) {
    if (this.state === "live") this.hurts(at);
    this.#wounds.clear();
    this.state = "dark";
    this.connecting = false;
  }

  /** The gateway has logged the end of its connection: from now on it is known to be absent. */
  missed(at) {
    // One that is connecting anew may be back already; then this was about the connection before.
    if (this.state === "live" || this.connecting || this.#certain) return;
    // Nothing waits for an app that subscribed to nothing.
    if (this.#subscribed === Infinity) return;
    this.#certain = { start: at };
  }

  ends(at) {
    this.#close(at);
    this.#certain = undefined;
  }

  /** A frame of `sender` arrives; what is wrong with that, if anything. */
  gets(sender, n) {
    let numbers = this.got.get(sender);
    if (!numbers) this.got.set(sender, (numbers = []));
    const last = numbers.at(-1) ?? 0;
    numbers.push(n);
    if (n > last) return undefined;
    return `${this.name} got frame ${n} of ${sender.name} ${numbers.indexOf(n) < numbers.length - 1 ? "twice" : `after ${last}`}`;
  }

  #close(at) {
    if (this.#sound) this.sound.push({ ...this.#sound, end: at });
    this.#sound = undefined;
    if (this.#certain?.back !== undefined) {
      this.certain.push({ ...this.#certain, end: at });
      this.#certain = undefined;
    }
  }
}

/** What became of every frame of `sender` at `receiver`, added to `totals`; the faults. */
export function judge(sender, receiver, { grace, age }, totals) {
  const faults = [];
  const got = new Set(receiver.got.get(sender));
  for (const { n, at } of sender.sent) {
    totals.sent += 1;
    const arrived = got.has(n);
    if (arrived) totals.arrived += 1;
    const sound = sender.sound.some(({ start, end }) => start <= at && at + SETTLE_MS < end);
    const span = receiver.certain.find(({ start, end }) => start < at && at < end);
    const queued = span && at < span.back;
    if (queued && arrived) totals.replayed += 1;
    const settled = span && at + SETTLE_MS < span.end && span.back + SETTLE_MS < span.end;
    const inTime = span && (!queued || (span.back - span.start < grace && span.back - at < age));
    if (sound && settled && !inTime) totals.beyond += 1;
    if (sound && settled && inTime) {
      totals.promised += 1;
      if (queued) totals.queued += 1;
      if (!arrived) {
        faults.push(
          `${receiver.name} never got frame ${n} of ${sender.name}, sent ${at - span.start} ms after ` +
            `${queued ? `it was known to be absent, ${span.back - at} ms before it came back` : "it came back"}, ${span.end - at} ms before its next disturbance`,
        );
      }
    } else if (!arrived) {
      totals.doubtful += 1;
    }
  }
  return faults;
}
