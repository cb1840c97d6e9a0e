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

/** A control frame of the gateway. Unknown fields are kept and ignored. */
export interface GatewayFrame {
    hello?: Hello;
    ping?: number;
    probe?: number;
    rx?: number;
    bye?: { why: string; retry_ms: number; spread_ms?: number };
    refused?: { status: number; retry_ms?: number };
    big?: number;
    end?: { code: number; reason?: string };
}

/** The numbers in the value of each kind. A kind without a list is a number itself. */
const NUMBERS: { readonly [kind: string]: string } = {
    hello: 'rx ping_ms grace_ms hold_ms max_message_bytes report_bytes',
    bye: 'retry_ms',
    refused: 'status',
    end: 'code',
    ping: '',
    probe: '',
    big: '',
    rx: '',
};

const isNumber = (value: any): boolean => Number.isSafeInteger(value) && value >= 0;
const haveAll = (value: any, names: string): boolean =>
    names.split(' ').every((name) => isNumber(name ? value[name] : value));

/** Returns whether a text message is a control frame. */
export const isControl = (text: string): boolean => text[0] === ESCAPE && text[1] !== ESCAPE;

/** Parses a control frame; `undefined` if it is not valid. */
export function parse(text: string): GatewayFrame | undefined {
    try {
        const frame = JSON.parse(text.length > CONTROL_MAX ? '' : text.slice(1));
        const kinds = Object.keys(NUMBERS).filter((kind) => kind in frame);
        const { hello, ping, probe, rx } = frame;
        const isValid =
            kinds.every((kind) => haveAll(frame[kind], NUMBERS[kind]!)) &&
            (!hello || haveAll(hello.retry, 'first_ms max_ms')) &&
            kinds.length < (rx === undefined ? 2 : 3) &&
            (ping ?? probe ?? rx) === undefined === (rx === undefined);
        if (isValid && !Array.isArray(frame)) return frame;
    } catch {}
    return;
}

/** Returns a control frame as it is sent. */
export const control = (frame: object): string => ESCAPE + JSON.stringify(frame);

/** Returns a text of the application as it is sent. */
export const escape = (text: string): string => (text[0] === ESCAPE ? ESCAPE + text : text);

/** Returns a text of the application as it was sent. */
export const unescape = (text: string): string => (text[0] === ESCAPE ? text.slice(1) : text);
