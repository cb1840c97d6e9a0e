"use strict";
// A table of event listeners: React Native has no EventTarget.
Object.defineProperty(exports, "__esModule", { value: true });
exports.Listeners = void 0;
exports.guard = guard;
/** What has listeners for the events of `M`: their types by name. */
class Listeners {
    #table = {};
    addEventListener(type, listener, options) {
        const { once, signal } = Object(options);
        const list = this.#table[type] ?? [];
        if (!listener || signal?.aborted || list.some(([known]) => known === listener))
            return;
        this.#table[type] = [...list, [listener, once]];
        signal?.addEventListener('abort', () => this.removeEventListener(type, listener));
    }
    removeEventListener(type, listener) {
        this.#table[type] = (this.#table[type] ?? []).filter(([known]) => known !== listener);
    }
    /** Calls the listeners of an event. What they throw does not disturb the caller. */
    dispatchEvent(event) {
        const type = event.type;
        const handler = this[`on${type}`];
        const list = this.#table[type] ?? [];
        Object.assign(event, { target: this, currentTarget: this });
        for (const [listener, once] of handler ? [[handler], ...list] : list) {
            if (once)
                this.removeEventListener(type, listener);
            void guard(() => (listener.handleEvent ?? listener).call(listener.handleEvent ? listener : this, event));
        }
        return true;
    }
}
exports.Listeners = Listeners;
/** Calls what a host gave. What it throws is an unhandled rejection of the platform. */
async function guard(call) {
    call();
}
