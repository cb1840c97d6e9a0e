// Notices that a connection is dead: a pure function of what was heard and when.
//
// Deadlines are timestamps of the clock on the wall, which goes on while a device sleeps. A timer
// that fires at another time than it was set for says that the device slept, or that its clock was
// set. Then a probe decides, not the deadline.
import type { Hello } from './frames.ts';

/** How long the answer to a probe may take. */
const PROBE_MS = 3_000;
/** A timer that is wrong by more says that the device was asleep. */
const LATE_MS = 1_000;
/** No deadline is later, whatever a gateway says: a timer of JavaScript has 31 bits. */
const SPAN_MAX = 3_600_000;
/** What the slowest supported network carries: 2 KiB/s. */
const BYTES_PER_MS = 2.048;

type Promise = Pick<Hello, 'ping_ms' | 'grace_ms'>;
export type Watchdog = ReturnType<typeof createWatchdog>;

/** Returns the watchdog of a connection whose hello came now. */
export function createWatchdog({ ping_ms, grace_ms }: Promise, now: () => number) {
    let heardAt = now();
    /** What the deadline counts from. */
    let from = now();
    let big = 0;
    let probes = 0;
    /** `NaN`: no answer is awaited. */
    let probedAt = NaN;
    let probeDue = Infinity;
    let slept = false;
    let gap = 0;
    let pingedAt = now();
    const pings = { seen: 0, late: 0 };
    const rtts: number[] = [];

    const span = () => Math.min(Math.max(ping_ms + grace_ms, big), SPAN_MAX);
    const due = () => Math.min(from + span(), probeDue);

    return {
        /** Returns when to call `fired`. */
        due_: due,
        /** Returns whether a timer was late since the last answer to a probe. */
        slept_: () => slept,
        /** Returns what the report says of the connection. */
        facts_: () => ({ heardAt_: heardAt, gap_: gap, pings_: pings, rtts_: rtts }),

        /** A ping came. */
        pinged_(): void {
            pings.seen++;
            if (now() - pingedAt > ping_ms + LATE_MS) pings.late++;
            pingedAt = now();
        },

        /** A frame came. */
        heard_(): void {
            heardAt = from = now();
            big = 0;
            // What comes this long after the probe did not lie in a buffer of this device.
            if (now() - probedAt >= LATE_MS) {
                probeDue = Math.max(probeDue, now() + PROBE_MS);
            }
        },

        /** The gateway announces a message of so many bytes. */
        big_(bytes: number): void {
            big = Math.ceil(bytes / BYTES_PER_MS);
            probeDue = Infinity;
        },

        /**
         * The device woke up, or its network changed. Returns the number of the probe to send
         * behind `buffered` unsent bytes; 0 while the answer to another one is awaited.
         */
        probe_(buffered: number): number {
            if (probedAt >= 0) return 0;
            probedAt = now();
            probeDue = big ? Infinity : now() + Math.max(PROBE_MS, Math.ceil(buffered / BYTES_PER_MS));
            return ++probes;
        },

        /** A probe was answered. Returns its round-trip time, in milliseconds. */
        answered_(number: number | undefined): number | undefined {
            const rtt = now() - probedAt;
            if (number !== probes || isNaN(rtt)) return;
            rtts.push(rtt);
            probedAt = NaN;
            probeDue = Infinity;
            slept = false;
            return rtt;
        },

        /** The timer that was set for `at` fires. Returns what to do. */
        fired_(at: number): 'wait' | 'probe' | 'dead' {
            const error = Math.abs(now() - at);
            if (error <= LATE_MS) return now() < due() ? 'wait' : 'dead';
            slept = true;
            gap = Math.max(gap, error);
            from = now();
            if (Math.abs(now() - probedAt) <= LATE_MS) return 'wait';
            probedAt = NaN;
            return 'probe';
        },
    };
}
