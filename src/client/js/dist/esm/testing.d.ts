import type { Options } from './api.ts';
import { type Data } from './data.ts';
import type { Facts, Signal } from './environment.ts';
import { type Hello } from './frames.ts';
/** A clock that stands still until the test moves it. */
export declare class VirtualClock {
    #private;
    now: number;
    setTimeout(run: () => void, ms: number): number;
    clearTimeout(timer: number | undefined): void;
    /** Lets so many milliseconds pass. Runs what is due, each at its time. */
    advance(ms: number): Promise<void>;
    /** Lets time pass in which nothing runs, as on a device that sleeps. */
    sleep(ms: number): void;
}
/** How the fake gateway and network behave. */
export interface FakeOptions {
    /** The values of the hello that differ from the usual ones. */
    hello?: Partial<Hello>;
    /** The time that a message takes in each direction, in milliseconds. */
    latencyMs?: number;
    /** The seed of the client's random numbers. */
    seed?: number;
    /** `false`: the gateway is a plain service that does not speak pulse. */
    pulse?: boolean;
}
/** A gateway with one client, on a virtual clock. */
export declare class FakePulse {
    #private;
    readonly clock: VirtualClock;
    /** Options for the `PulseSocket` under test. */
    readonly options: Options;
    /** What the service has received, in all sessions. */
    readonly received: Data[];
    /** The addresses of all tries. */
    readonly tries: {
        at: number;
        url: string;
        protocols: string[];
    }[];
    /** The facts of the device. Call `signal('change')` after a change. */
    facts: Facts;
    /** Whether tries fail, as without a network. */
    isUnreachable: boolean;
    /** What the next tries are refused with. */
    refusal: {
        status: number;
        retry_ms?: number;
    } | undefined;
    /** The frames of the client that are no messages. */
    readonly frames: any[];
    latencyMs: number;
    constructor(options?: FakeOptions);
    /** Lets time pass. */
    advance(ms: number): Promise<void>;
    /** The service sends a message. It waits while there is no connection. */
    send(data: Data): void;
    /** The service closes the session. */
    end(code?: number, reason?: string): void;
    /** The connection is lost: at once (`1006`), or without a sign. What is under way is lost. */
    cut(how?: 'close' | 'silence'): void;
    /** The gateway says goodbye, forgets the session and closes. */
    bye(bye: {
        why: string;
        retry_ms: number;
        spread_ms?: number;
    }, code?: number): void;
    /** The gateway forgets the session, as after a restart. */
    loseSession(): void;
    /** The device loses its network, or gets one. Its connections do not notice by themselves. */
    setOnline(isOnline: boolean): void;
    /** Something happens to the device. */
    signal(signal: Signal): void;
    /** The client's connection, as far as the gateway knows. */
    get connection(): FakeSocket | undefined;
    /** @internal */
    opened(socket: FakeSocket): void;
    /** @internal */
    arrived(socket: FakeSocket, data: Data): void;
    /** @internal */
    closed(socket: FakeSocket): void;
}
/** The platform's WebSocket, as far as a `PulseSocket` uses it. */
export declare class FakeSocket {
    #private;
    readonly url: string;
    readyState: number;
    protocol: string;
    binaryType: string;
    readonly bufferedAmount = 0;
    isSilent: boolean;
    onopen: ((event: object) => void) | null;
    onmessage: ((event: object) => void) | null;
    onclose: ((event: object) => void) | null;
    constructor(fake: FakePulse, url: string, protocols: string | string[]);
    /** What the gateway sends. */
    deliver(data: Data): void;
    /** The gateway or the network ends the connection. */
    drop(code: number, reason: string): void;
    send(data: Data): void;
    close(code?: number, reason?: string): void;
}
