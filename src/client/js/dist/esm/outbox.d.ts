import { type Data } from './data.ts';
/** Returns an empty outbox: messages to the gateway, from the oldest without acknowledgement. */
export declare function createOutbox(): {
    /** Returns the bytes of the messages that are kept. */
    bytes_: () => number;
    /** Returns whether no further message may be kept. */
    isFull_: () => boolean;
    /** Returns how many messages of the session were sent. */
    sent_: () => number;
    /** Returns how many of them wait for an acknowledgement. */
    unconfirmed_: () => number;
    push_(data: Data, size: number): void;
    /** Returns the next message that was not sent on this connection; it is counted. */
    next_(): Data | undefined;
    /**
     * Forgets the first `rx` messages. Returns whether they can have arrived. When a connection
     * begins (`isNew`), the others are sent again.
     */
    acknowledge_(rx: number, isNew?: boolean): boolean;
    /** Ends the session. Returns what is not acknowledged. */
    take_(): Data[];
};
