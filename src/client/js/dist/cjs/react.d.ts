import type { Options, Protocols, PulseEventMap, State, Target } from './api.ts';
import { PulseSocket } from './socket.ts';
/** Handlers of a socket's events. Those of the last rendering are called. */
export type Handlers = {
    [K in keyof PulseEventMap]?: (event: PulseEventMap[K]) => void;
};
/**
 * Keeps a socket open while the component is mounted. The socket is the same until the address
 * changes; functions for the address and the subprotocols may change with each rendering.
 * `options` are read when the socket is made.
 */
export declare function usePulseSocket(target: Target, protocols?: Protocols, handlers?: Handlers, options?: Options): {
    socket: PulseSocket;
    state: State;
};
