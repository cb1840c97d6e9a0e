"use strict";
// Counts what came from the gateway, and says when to acknowledge it.
Object.defineProperty(exports, "__esModule", { value: true });
exports.createInbox = createInbox;
const ACK_MESSAGES = 64;
const ACK_BYTES = 64 << 10;
const QUIET_MS = 1_000;
/** Returns an inbox that has received nothing. */
function createInbox(now) {
    let received = 0;
    let told = 0;
    let bytes = 0;
    let last = 0;
    return {
        /** Counts a message that was received whole and is handed on. */
        count_(size) {
            received++;
            bytes += size;
            last = now();
        },
        /** Returns how many messages of the session were received, and notes that it was said. */
        tell_() {
            bytes = 0;
            return (told = received);
        },
        /** Returns when to acknowledge; `Infinity` if the gateway knows of everything. */
        ackAt_() {
            if (received === told)
                return Infinity;
            return last + (received - told >= ACK_MESSAGES || bytes >= ACK_BYTES ? 0 : QUIET_MS);
        },
    };
}
