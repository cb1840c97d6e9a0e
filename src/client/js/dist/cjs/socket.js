"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.PulseSocket = exports.VERSION = exports.QuotaExceededError = void 0;
const core_ts_1 = require("./core.js");
const listeners_ts_1 = require("./listeners.js");
var core_ts_2 = require("./core.js");
Object.defineProperty(exports, "QuotaExceededError", { enumerable: true, get: function () { return core_ts_2.QuotaExceededError; } });
var version_ts_1 = require("./version.js");
Object.defineProperty(exports, "VERSION", { enumerable: true, get: function () { return version_ts_1.VERSION; } });
const STATES = { connecting: 0, closing: 2, closed: 3, idle: 3 };
/** A WebSocket whose session outlives its connections. */
class PulseSocket extends listeners_ts_1.Listeners {
    static CONNECTING = 0;
    static OPEN = 1;
    static CLOSING = 2;
    static CLOSED = 3;
    CONNECTING = 0;
    OPEN = 1;
    CLOSING = 2;
    CLOSED = 3;
    /** The address of the last try, as the application gave it. */
    url = '';
    /** The subprotocol that the service chose. */
    protocol = '';
    /** Pulse connections have none. */
    extensions = '';
    quality = { losses: 0, resumes: 0, resets: 0 };
    #type = 'blob';
    #core;
    constructor(target, protocols, options = {}) {
        super();
        this.#core = (0, core_ts_1.createCore)(this, target, protocols, options);
    }
    get state() {
        return this.#core.state_();
    }
    /** What the gateway promised; `null` before the first session and on a plain socket. */
    get session() {
        return this.#core.session_();
    }
    /** As of a WebSocket: 1 during a flap, 3 before the first start. */
    get readyState() {
        return STATES[this.state] ?? 1;
    }
    /** The bytes that wait to be sent or acknowledged. */
    get bufferedAmount() {
        return this.#core.buffered_();
    }
    get binaryType() {
        return this.#type;
    }
    set binaryType(type) {
        this.#type = type;
        this.#core.setType_(type);
    }
    /**
     * Sends a message, or keeps it until it can be sent. As with a WebSocket, what is sent after
     * `close()` is dropped.
     *
     * @throws QuotaExceededError The message is too large, or too much waits. It was not taken.
     */
    send(data) {
        this.#core.send_(data);
    }
    /** Closes for good: the gateway does not hold the session. */
    close(code, reason) {
        this.#core.close_(code, reason);
    }
    /** Opens again, or replaces the present connection. The session goes on if it can. */
    reconnect() {
        this.#core.reconnect_();
    }
}
exports.PulseSocket = PulseSocket;
