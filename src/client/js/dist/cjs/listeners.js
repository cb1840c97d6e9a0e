"use strict";
// A table of event listeners: React Native has no EventTarget.
Object.defineProperty(exports, "__esModule", { value: true });
exports.Listeners = void 0;
exports.guard = guard;
/** What has listeners for the events of `M`: their types by name. */
class Listeners {
    /** The listeners of each type, and whether they are called once. */
    #table = {};
    addEventListener(type, listener, options) {
        const { once, signal } = Object(options);
        const list = (this.#table[type] ??= new Map());
        if (!listener || signal?.aborted || list.has(listener))
            return;
        list.set(listener, once);
        signal?.addEventListener('abort', () => this.removeEventListener(type, listener));
    }
    removeEventListener(type, listener) {
        this.#table[type]?.delete(listener);
    }
    /** Calls the listeners of an event. What they throw does not disturb the caller. */
    dispatchEvent(event) {
        Object.assign(event, { target: this, currentTarget: this });
        const list = this.#table[event.type] ?? [];
        for (const [listener, once] of [[this[`on${event.type}`]], ...list]) {
            if (once)
                list.delete(listener);
            void guard(() => (listener?.handleEvent ? listener.handleEvent(event) : listener?.call(this, event)));
        }
        return true;
    }
}
exports.Listeners = Listeners;
/** Calls what a host gave. What it throws is an unhandled rejection of the platform. */
async function guard(call) {
    call();
}
