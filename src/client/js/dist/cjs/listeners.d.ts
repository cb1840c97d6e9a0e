export type Listener<E> = ((event: E) => void) | {
    handleEvent(event: E): void;
};
export interface ListenOptions {
    once?: boolean;
    signal?: AbortSignal;
}
/** What has listeners for the events of `M`: their types by name. */
export declare class Listeners<M> {
    #private;
    addEventListener<K extends keyof M & string>(type: K, listener: Listener<M[K]> | null, options?: ListenOptions | boolean): void;
    removeEventListener<K extends keyof M & string>(type: K, listener: Listener<M[K]> | null): void;
    /** Calls the listeners of an event. What they throw does not disturb the caller. */
    dispatchEvent(event: {
        type: string;
    }): boolean;
}
/** Calls what a host gave. What it throws is an unhandled rejection of the platform. */
export declare function guard(call: () => void): Promise<void>;
