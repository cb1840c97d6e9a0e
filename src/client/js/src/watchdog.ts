// Notices that a connection is dead: a pure function of what was heard and when.
//
// Deadlines are timestamps of the clock on the wall, which goes on while a device sleeps. A timer
// that fires at another time than it was set for says that the device slept, or that its clock was
// set. Then a probe decides, not the deadline.

/** How long the answer to a probe may take. */
const PROBE_MS = 3_000;
/** A timer that is wrong by more says that the device was asleep. */
const LATE_MS = 1_000;
/** No deadline is later, whatever a gateway says: a timer of JavaScript has 31 bits. */
const SPAN_MAX = 3_600_000;
/** What the slowest supported network carries: 2 KiB/s. */
const BYTES_PER_MS = 2.048;

export type Watchdog = ReturnType<typeof createWatchdog>;

/** Returns the watchdog of a connection whose hello came now. */
export function createWatchdog(pingMs: number, graceMs: number, now: () => number) {
    let heardAt = now();
    /** What the deadline counts from. */
    let from = now();
    let big = 0;
    let probes = 0;
    let probedAt = -1;
    let probeDue = Infinity;
    let slept = false;
    let gap = 0;
    let pingedAt = now();
    const pings = { seen: 0, late: 0 };
    const rtts: number[] = [];

    const span = () => Math.min(Math.max(pingMs + graceMs, big), SPAN_MAX);
    const due = () => Math.min(from + span(), probeDue);

    return {
        /** Returns when to call `fired`. */
        due,
        /** Returns whether a timer was late since the last answer to a probe. */
        slept: () => slept,
        /** Returns what the report says of the connection. */
        facts: () => ({ heardAt, gap, pings, rtts }),

        /** A ping came. */
        pinged(): void {
            pings.seen++;
            if (now() - pingedAt > pingMs + LATE_MS) pings.late++;
            pingedAt = now();
        },

        /** A frame came. */
        heard(): void {
            heardAt = from = now();
            big = 0;
            // What comes this long after the probe did not lie in a buffer of this device.
            if (probedAt >= 0 && now() - probedAt >= LATE_MS) {
                probeDue = Math.max(probeDue, now() + PROBE_MS);
            }
        },

        /** The gateway announces a message of so many bytes. */
        big(bytes: number): void {
            big = Math.ceil(bytes / BYTES_PER_MS);
            probeDue = Infinity;
        },

        /**
         * The device woke up, or its network changed. Returns the number of the probe to send
         * behind `buffered` unsent bytes; 0 while the answer to another one is awaited.
         */
        probe(buffered: number): number {
            if (probedAt >= 0) return 0;
            probedAt = now();
            probeDue = big ? Infinity : now() + Math.max(PROBE_MS, Math.ceil(buffered / BYTES_PER_MS));
            return ++probes;
        },

        /** A probe was answered. Returns its round-trip time, in milliseconds. */
        answered(number: number): number | undefined {
            if (number !== probes || probedAt < 0) return;
            const rtt = now() - probedAt;
            rtts.push(rtt);
            probedAt = -1;
            probeDue = Infinity;
            slept = false;
            return rtt;
        },

        /** The timer that was set for `at` fires. Returns what to do. */
        fired(at: number): 'wait' | 'probe' | 'dead' {
            const error = Math.abs(now() - at);
            if (error <= LATE_MS) return now() < due() ? 'wait' : 'dead';
            slept = true;
            gap = Math.max(gap, error);
            from = now();
            if (probedAt >= 0 && Math.abs(now() - probedAt) <= LATE_MS) return 'wait';
            probedAt = -1;
            return 'probe';
        },
    };
}
