// A table of event listeners: React Native has no EventTarget.

export type Listener<E> = ((event: E) => void) | { handleEvent(event: E): void };
export interface ListenOptions {
    once?: boolean;
    signal?: AbortSignal;
}

/** What has listeners for the events of `M`: their types by name. */
export class Listeners<M> {
    #table: { [type: string]: [listener: any, once?: boolean | undefined][] } = {};

    addEventListener<K extends keyof M & string>(
        type: K,
        listener: Listener<M[K]> | null,
        options?: ListenOptions | boolean,
    ): void {
        const { once, signal } = Object(options) as ListenOptions;
        const list = this.#table[type] ?? [];
        if (!listener || signal?.aborted || list.some(([known]) => known === listener)) return;
        this.#table[type] = [...list, [listener, once]];
        signal?.addEventListener('abort', () => this.removeEventListener(type, listener));
    }

    removeEventListener<K extends keyof M & string>(type: K, listener: Listener<M[K]> | null): void {
        this.#table[type] = (this.#table[type] ?? []).filter(([known]) => known !== listener);
    }

    /** Calls the listeners of an event. What they throw does not disturb the caller. */
    dispatchEvent(event: { type: string }): boolean {
        const type = event.type as keyof M & string;
        const handler = (this as any)[`on${type}`];
        const list = this.#table[type] ?? [];
        Object.assign(event, { target: this, currentTarget: this });
        for (const [listener, once] of handler ? [[handler] as const, ...list] : list) {
            if (once) this.removeEventListener(type, listener);
            void guard(() => (listener.handleEvent ?? listener).call(listener.handleEvent ? listener : this, event));
        }
        return true;
    }
}

/** Calls what a host gave. What it throws is an unhandled rejection of the platform. */
export async function guard(call: () => void): Promise<void> {
    call();
}
