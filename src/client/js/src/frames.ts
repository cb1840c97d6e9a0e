// Control frames: text messages that begin with the byte 0x01, followed by a JSON object.

const ESCAPE = '\x01';
/** The longest control frame, in UTF-16 units; the gateway's are ASCII but for reasons. */
const CONTROL_MAX = 4_096;

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
    retry: { first_ms: number; max_ms: number };
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
    end?: { code: number; reason?: string };
}

/** The numbers in the value of each kind, and in its `retry`. A kind without a list is a number itself. */
const NUMBERS: { readonly [kind: string]: string } = {
    hello: 'rx ping_ms grace_ms hold_ms max_message_bytes report_bytes first_ms max_ms',
    bye: 'retry_ms',
    refused: 'status',
    end: 'code',
    ping: '',
    probe: '',
    big: '',
    rx: '',
};

/** One kind, or none that is known; a ping and a probe have an `rx`. */
const KINDS = /^([^p,]*|p\w+,rx)$/;

const isNumber = (value: any): boolean => Number.isSafeInteger(value) && value >= 0;

/** Returns whether a text message is a control frame. */
export const isControl = (text: string): boolean => /^\x01(?!\x01)/.test(text);

/** Parses a control frame; `undefined` if it is not valid. */
export function parse(text: string): GatewayFrame | undefined {
    try {
        const frame = JSON.parse(text.length > CONTROL_MAX ? '' : text.slice(1));
        const kinds = Object.keys(NUMBERS).filter((kind) => kind in frame);
        const isValid = (kind: string) => {
            const value = frame[kind];
            const all = { '': value, ...value, ...value.retry };
            return NUMBERS[kind]!.split(' ').every((name) => isNumber(all[name]));
        };
        if (KINDS.test(kinds as any) && kinds.every(isValid) && !Array.isArray(frame)) return frame;
    } catch {}
    return;
}

/** Returns a control frame as it is sent. */
export const control = (frame: object): string => ESCAPE + JSON.stringify(frame);

/** Returns a text of the application as it is sent. */
export const escape = (text: string): string => text.replace(/^\x01/, '$&$&');

/** Returns a text of the application as it was sent. */
export const unescape = (text: string): string => text.replace(/^\x01/, '');
