"use strict";
// What a WebSocket carries.
Object.defineProperty(exports, "__esModule", { value: true });
exports.sizeOf = void 0;
exports.keep = keep;
/** The length of a message in bytes. A text counts in UTF-8, a pair of surrogates as 4 bytes. */
const sizeOf = (data) => typeof data === 'string'
    ? data.replace(/[\x80-\u07ff\ud800-\udfff]/g, '..').replace(/[^\0-\x7f]/g, '...').length
    : (data.byteLength ?? data.size);
exports.sizeOf = sizeOf;
/** Returns a copy that the application cannot change. */
function keep(data) {
    const { buffer = data, byteOffset = 0, byteLength, size } = Object(data);
    if (byteLength >= 0)
        return buffer.slice(byteOffset, byteOffset + byteLength);
    return size >= 0 ? data : `${data}`;
}
