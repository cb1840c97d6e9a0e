/** The most messages that are kept. */
const MESSAGES_MAX = 16_384;
/** Returns an empty outbox: messages to the gateway, from the oldest without acknowledgement. */
export function createOutbox() {
    let entries = [];
    let sizes = [];
    let bytes = 0;
    let acknowledged = 0;
    let sent = 0;
    function acknowledge(rx) {
        if (rx < acknowledged || rx > sent)
            return false;
        entries.splice(0, rx - acknowledged);
        for (const size of sizes.splice(0, rx - acknowledged))
            bytes -= size;
        acknowledged = rx;
        return true;
    }
    return {
        /** Returns the bytes of the messages that are kept. */
        bytes: () => bytes,
        /** Returns whether no further message may be kept. */
        isFull: () => entries.length >= MESSAGES_MAX,
        /** Returns how many messages of the session were sent. */
        sent: () => sent,
        /** Returns how many of them wait for an acknowledgement. */
        unconfirmed: () => sent - acknowledged,
        push(data, size) {
            bytes += size;
            entries.push(data);
            sizes.push(size);
        },
        /** Returns the next message that was not sent on this connection; it is counted. */
        next() {
            const data = entries[sent - acknowledged];
            if (data !== undefined)
                sent++;
            return data;
        },
        /** Forgets the first `rx` messages. Returns whether they can have arrived. */
        acknowledge,
        /** Begins a connection on which the gateway has received `rx` messages of the session. */
        resume(rx) {
            if (!acknowledge(rx))
                return false;
            sent = rx;
            return true;
        },
        /** Ends the session. Returns what is not acknowledged. */
        take() {
            const left = entries;
            entries = [];
            sizes = [];
            bytes = acknowledged = sent = 0;
            return left;
        },
    };
}
