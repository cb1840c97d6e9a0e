"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.createWatchdog = createWatchdog;
/** How long the answer to a probe may take. */
const PROBE_MS = 3_000;
/** A timer that is wrong by more says that the device was asleep. */
const LATE_MS = 1_000;
/** No deadline is later, whatever a gateway says: a timer of JavaScript has 31 bits. */
const SPAN_MAX = 3_600_000;
/** What the slowest supported network carries: 2 KiB/s. */
const BYTES_PER_MS = 2.048;
/** Returns the watchdog of a connection whose hello came now. */
function createWatchdog({ ping_ms, grace_ms }, now) {
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
    const rtts = [];
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
        pinged_() {
            pings.seen++;
            if (now() - pingedAt > ping_ms + LATE_MS)
                pings.late++;
            pingedAt = now();
        },
        /** A frame came. */
        heard_() {
            heardAt = from = now();
            big = 0;
            // What comes this long after the probe did not lie in a buffer of this device.
            if (now() - probedAt >= LATE_MS) {
                probeDue = Math.max(probeDue, now() + PROBE_MS);
            }
        },
        /** The gateway announces a message of so many bytes. */
        big_(bytes) {
            big = Math.ceil(bytes / BYTES_PER_MS);
            probeDue = Infinity;
        },
        /**
         * The device woke up, or its network changed. Returns the number of the probe to send
         * behind `buffered` unsent bytes; 0 while the answer to another one is awaited.
         */
        probe_(buffered) {
            if (probedAt >= 0)
                return 0;
            probedAt = now();
            probeDue = big ? Infinity : now() + Math.max(PROBE_MS, Math.ceil(buffered / BYTES_PER_MS));
            return ++probes;
        },
        /** A probe was answered. Returns its round-trip time, in milliseconds. */
        answered_(number) {
            const rtt = now() - probedAt;
            if (number !== probes || isNaN(rtt))
                return;
            rtts.push(rtt);
            probedAt = NaN;
            probeDue = Infinity;
            slept = false;
            return rtt;
        },
        /** The timer that was set for `at` fires. Returns what to do. */
        fired_(at) {
            const error = Math.abs(now() - at);
            if (error <= LATE_MS)
                return now() < due() ? 'wait' : 'dead';
            slept = true;
            gap = Math.max(gap, error);
            from = now();
            if (Math.abs(now() - probedAt) <= LATE_MS)
                return 'wait';
            probedAt = NaN;
            return 'probe';
        },
    };
}
