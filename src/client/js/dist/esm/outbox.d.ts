import type { Data } from './data.ts';
/** Returns an empty outbox: messages to the gateway, from the oldest without acknowledgement. */
export declare function createOutbox(): {
    /** Returns the bytes of the messages that are kept. */
    bytes: () => number;
    /** Returns whether no further message may be kept. */
    isFull: () => boolean;
    /** Returns how many messages of the session were sent. */
    sent: () => number;
    /** Returns how many of them wait for an acknowledgement. */
    unconfirmed: () => number;
    push(data: Data, size: number): void;
    /** Returns the next message that was not sent on this connection; it is counted. */
    next(): Data | undefined;
    /** Forgets the first `rx` messages. Returns whether they can have arrived. */
    acknowledge: (rx: number) => boolean;
    /** Begins a connection on which the gateway has received `rx` messages of the session. */
    resume(rx: number): boolean;
    /** Ends the session. Returns what is not acknowledged. */
    take(): Data[];
};
