// Control frames: text messages that begin with the byte 0x01, followed by a JSON object.
const ESCAPE = '\x01';
/** The longest control frame, in UTF-16 units; the gateway's are ASCII but for reasons. */
const CONTROL_MAX = 4_096;
/** The numbers in the value of each kind, and in its `retry`. A kind without a list is a number itself. */
const NUMBERS = {
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
const isNumber = (value) => Number.isSafeInteger(value) && value >= 0;
/** Returns whether a text message is a control frame. */
export const isControl = (text) => /^\x01(?!\x01)/.test(text);
/** Parses a control frame; `undefined` if it is not valid. */
export function parse(text) {
    try {
        const frame = JSON.parse(text.length > CONTROL_MAX ? '' : text.slice(1));
        const kinds = Object.keys(NUMBERS).filter((kind) => kind in frame);
        const isValid = (kind) => {
            const value = frame[kind];
            const all = { '': value, ...value, ...value.retry };
            return NUMBERS[kind].split(' ').every((name) => isNumber(all[name]));
        };
        if (KINDS.test(kinds) && kinds.every(isValid) && !Array.isArray(frame))
            return frame;
    }
    catch { }
    return;
}
/** Returns a control frame as it is sent. */
export const control = (frame) => ESCAPE + JSON.stringify(frame);
/** Returns a text of the application as it is sent. */
export const escape = (text) => text.replace(/^\x01/, '$&$&');
/** Returns a text of the application as it was sent. */
export const unescape = (text) => text.replace(/^\x01/, '');
