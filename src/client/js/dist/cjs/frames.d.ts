/** What the gateway promises at the beginning of each connection. */
export interface Hello {
    v: number;
    conn: string;
    resume: string;
    resumed: boolean;
    rx: number;
    ping_ms: number;
    grace_ms: number;
    timeout_ms: number;
    hold_ms: number;
    max_message_bytes: number;
    retry: {
        first_ms: number;
        max_ms: number;
    };
    report_bytes: number;
}
/** When to come back after a planned end: after `retry_ms` and a random part of `spread_ms`. */
export interface Bye {
    why: string;
    retry_ms: number;
    spread_ms?: number;
}
/** The HTTP status of a refusal, and when to come back. */
export interface Refused {
    status: number;
    retry_ms?: number;
}
/** A control frame of the gateway. Unknown fields are kept and ignored. */
export interface GatewayFrame {
    hello?: Hello;
    ping?: number;
    /** In a ping: replaces that of the hello. */
    first_ms?: number | undefined;
    probe?: number;
    rx?: number;
    bye?: Bye;
    refused?: Refused;
    big?: number;
    end?: {
        code: number;
        reason?: string;
    };
}
/** Returns whether a text message is a control frame. */
export declare const isControl: (text: string) => boolean;
/** Parses a control frame; `undefined` if it is not valid. */
export declare function parse(text: string): GatewayFrame | undefined;
/** Returns a control frame as it is sent. */
export declare const control: (frame: object) => string;
/** Returns a text of the application as it is sent. */
export declare const escape: (text: string) => string;
/** Returns a text of the application as it was sent. */
export declare const unescape: (text: string) => string;
