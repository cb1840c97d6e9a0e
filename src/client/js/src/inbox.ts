// Counts what came from the gateway, and says when to acknowledge it.

const ACK_MESSAGES = 64;
const ACK_BYTES = 64 << 10;
const QUIET_MS = 1_000;

/** Returns an inbox that has received nothing. */
export function createInbox(now: () => number) {
    let received = 0;
    let told = 0;
    let bytes = 0;
    let last = 0;
    return {
        /** Counts a message that was received whole and is handed on. */
        count_(size: number): void {
            received++;
            bytes += size;
            last = now();
        },

        /** Returns how many messages of the session were received, and notes that it was said. */
        tell_(): number {
            bytes = 0;
            return (told = received);
        },

        /** Returns when to acknowledge; `Infinity` if the gateway knows of everything. */
        ackAt_(): number {
            if (received === told) return Infinity;
            return last + (received - told >= ACK_MESSAGES || bytes >= ACK_BYTES ? 0 : QUIET_MS);
        },
    };
}
