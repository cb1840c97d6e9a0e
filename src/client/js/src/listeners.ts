// A table of event listeners: React Native has no EventTarget.

export type Listener<E> = ((event: E) => void) | { handleEvent(event: E): void };
export interface ListenOptions {
    once?: boolean;
    signal?: AbortSignal;
}

/** What has listeners for the events of `M`: their types by name. */
export class Listeners<M> {
    /** The listeners of each type, and whether they are called once. */
    #table: { [type: string]: Map<any, boolean | undefined> } = {};

    addEventListener<K extends keyof M & string>(
        type: K,
        listener: Listener<M[K]> | null,
        options?: ListenOptions | boolean,
    ): void {
        const { once, signal } = Object(options) as ListenOptions;
        const list = (this.#table[type] ??= new Map());
        if (!listener || signal?.aborted || list.has(listener)) return;
        list.set(listener, once);
        signal?.addEventListener('abort', () => this.removeEventListener(type, listener));
    }

    removeEventListener<K extends keyof M & string>(type: K, listener: Listener<M[K]> | null): void {
        this.#table[type]?.delete(listener);
    }

    /** Calls the listeners of an event. What they throw does not disturb the caller. */
    dispatchEvent(event: { type: string }): boolean {
        Object.assign(event, { target: this, currentTarget: this });
        const list: any = this.#table[event.type] ?? [];
        for (const [listener, once] of [[(this as any)[`on${event.type}`]], ...list]) {
            if (once) list.delete(listener);
            void guard(() => (listener?.handleEvent ? listener.handleEvent(event) : listener?.call(this, event)));
        }
        return true;
    }
}

/** Calls what a host gave. What it throws is an unhandled rejection of the platform. */
export async function guard(call: () => void): Promise<void> {
    call();
}
