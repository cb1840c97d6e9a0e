// Messages that the other side has not acknowledged.
import { sizeOf } from './data.js';
/** The most messages that are kept. */
const MESSAGES_MAX = 16_384;
/** Returns an empty outbox: messages to the gateway, from the oldest without acknowledgement. */
export function createOutbox() {
    let entries = [];
    let bytes = 0;
    let acknowledged = 0;
    let sent = 0;
    return {
        /** Returns the bytes of the messages that are kept. */
        bytes_: () => bytes,
        /** Returns whether no further message may be kept. */
        isFull_: () => entries.length >= MESSAGES_MAX,
        /** Returns how many messages of the session were sent. */
        sent_: () => sent,
        /** Returns how many of them wait for an acknowledgement. */
        unconfirmed_: () => sent - acknowledged,
        push_(data, size) {
            bytes += size;
            entries.push(data);
        },
        /** Returns the next message that was not sent on this connection; it is counted. */
        next_() {
            const data = entries[sent - acknowledged];
            if (data != null)
                sent++;
            return data;
        },
        /**
         * Forgets the first `rx` messages. Returns whether they can have arrived. When a connection
         * begins (`isNew`), the others are sent again.
         */
        acknowledge_(rx, isNew) {
            if (rx < acknowledged || rx > sent)
                return false;
            for (const data of entries.splice(0, rx - acknowledged))
                bytes -= sizeOf(data);
            acknowledged = rx;
            if (isNew)
                sent = rx;
            return true;
        },
        /** Ends the session. Returns what is not acknowledged. */
        take_() {
            const left = entries;
            entries = [];
            bytes = acknowledged = sent = 0;
            return left;
        },
    };
}
