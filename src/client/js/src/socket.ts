// The interface of a WebSocket, over a session that outlives its connections.
import type { Options, Protocols, PulseEventMap, Quality, Session, State, Target } from './api.ts';
import { createCore } from './core.ts';
import type { Data } from './data.ts';
import { Listeners } from './listeners.ts';

export { QuotaExceededError } from './core.ts';
export { VERSION } from './version.ts';

type Handler<K extends keyof PulseEventMap> = ((event: PulseEventMap[K]) => void) | null;

const STATES: { [state in State]?: number } = { connecting: 0, closing: 2, closed: 3, idle: 3 };

/** A WebSocket whose session outlives its connections. */
export class PulseSocket extends Listeners<PulseEventMap> {
    static readonly CONNECTING = 0;
    static readonly OPEN = 1;
    static readonly CLOSING = 2;
    static readonly CLOSED = 3;
    readonly CONNECTING = 0;
    readonly OPEN = 1;
    readonly CLOSING = 2;
    readonly CLOSED = 3;

    declare onopen: Handler<'open'>;
    declare onresume: Handler<'resume'>;
    declare onsuspend: Handler<'suspend'>;
    declare onreset: Handler<'reset'>;
    declare onmessage: Handler<'message'>;
    declare ondrain: Handler<'drain'>;
    declare onerror: Handler<'error'>;
    declare onclose: Handler<'close'>;
    declare onstate: Handler<'state'>;

    /** The address of the last try, as the application gave it. */
    url = '';
    /** The subprotocol that the service chose. */
    protocol = '';
    /** Pulse connections have none. */
    readonly extensions = '';
    readonly quality: Quality = { losses: 0, resumes: 0, resets: 0 };

    #type: BinaryType = 'blob';
    #core;

    constructor(target: Target, protocols?: Protocols, options: Options = {}) {
        super();
        this.#core = createCore(this, target, protocols, options);
    }

    get state(): State {
        return this.#core.state_();
    }

    /** What the gateway promised; `null` before the first session and on a plain socket. */
    get session(): Session | null {
        return this.#core.session_();
    }

    /** As of a WebSocket: 1 during a flap, 3 before the first start. */
    get readyState(): number {
        return STATES[this.state] ?? 1;
    }

    /** The bytes that wait to be sent or acknowledged. */
    get bufferedAmount(): number {
        return this.#core.buffered_();
    }

    get binaryType(): BinaryType {
        return this.#type;
    }

    set binaryType(type: BinaryType) {
        this.#type = type;
        this.#core.setType_(type);
    }

    /**
     * Sends a message, or keeps it until it can be sent. As with a WebSocket, what is sent after
     * `close()` is dropped.
     *
     * @throws QuotaExceededError The message is too large, or too much waits. It was not taken.
     */
    send(data: Data): void {
        this.#core.send_(data);
    }

    /** Closes for good: the gateway does not hold the session. */
    close(code?: number, reason?: string): void {
        this.#core.close_(code, reason);
    }

    /** Opens again, or replaces the present connection. The session goes on if it can. */
    reconnect(): void {
        this.#core.reconnect_();
    }
}
