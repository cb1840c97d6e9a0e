import type { Options, Protocols, PulseEventMap, Quality, Session, State, Target } from './api.ts';
import type { Data } from './data.ts';
import { Listeners } from './listeners.ts';
export { QuotaExceededError } from './core.ts';
export { VERSION } from './version.ts';
type Handler<K extends keyof PulseEventMap> = ((event: PulseEventMap[K]) => void) | null;
/** A WebSocket whose session outlives its connections. */
export declare class PulseSocket extends Listeners<PulseEventMap> {
    #private;
    static readonly CONNECTING = 0;
    static readonly OPEN = 1;
    static readonly CLOSING = 2;
    static readonly CLOSED = 3;
    readonly CONNECTING = 0;
    readonly OPEN = 1;
    readonly CLOSING = 2;
    readonly CLOSED = 3;
    onopen: Handler<'open'>;
    onresume: Handler<'resume'>;
    onsuspend: Handler<'suspend'>;
    onreset: Handler<'reset'>;
    onmessage: Handler<'message'>;
    ondrain: Handler<'drain'>;
    onerror: Handler<'error'>;
    onclose: Handler<'close'>;
    onstate: Handler<'state'>;
    /** The address of the last try, as the application gave it. */
    url: string;
    /** The subprotocol that the service chose. */
    protocol: string;
    /** Pulse connections have none. */
    readonly extensions = "";
    readonly quality: Quality;
    constructor(target: Target, protocols?: Protocols, options?: Options);
    get state(): State;
    /** What the gateway promised; `null` before the first session and on a plain socket. */
    get session(): Session | null;
    /** As of a WebSocket: 1 during a flap, 3 before the first start. */
    get readyState(): number;
    /** The bytes that wait to be sent or acknowledged. */
    get bufferedAmount(): number;
    get binaryType(): BinaryType;
    set binaryType(type: BinaryType);
    /**
     * Sends a message, or keeps it until it can be sent. As with a WebSocket, what is sent after
     * `close()` is dropped.
     *
     * @throws QuotaExceededError The message is too large, or too much waits. It was not taken.
     */
    send(data: Data): void;
    /** Closes for good: the gateway does not hold the session. */
    close(code?: number, reason?: string): void;
    /** Opens again, or replaces the present connection. The session goes on if it can. */
    reconnect(): void;
}
