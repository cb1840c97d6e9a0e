import type { Options, Protocols, Session, State, Target } from './api.ts';
import { type Data } from './data.ts';
import type { PulseSocket } from './socket.ts';
/** More was sent than may wait. The message was not taken. */
export declare class QuotaExceededError extends Error {
    name: string;
}
/** Returns the life of `host`, which it gives its events and facts. */
export declare function createCore(host: PulseSocket, target: Target, protocols: Protocols, options: Options): {
    state_: () => State;
    session_: () => Session | null;
    buffered_: () => number;
    /** Passes the type of binary messages on. */
    setType_(type: BinaryType): void;
    send_(data: Data): void;
    close_(code?: number, reason?: string): void;
    reconnect_(): void;
};
