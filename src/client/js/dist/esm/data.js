// What a WebSocket carries.
/** The length of a message in bytes. A text counts in UTF-8, a pair of surrogates as 4 bytes. */
export const sizeOf = (data) => typeof data === 'string'
    ? data.replace(/[\x80-\u07ff\ud800-\udfff]/g, '..').replace(/[^\0-\x7f]/g, '...').length
    : (data.byteLength ?? data.size);
/** Returns a copy that the application cannot change. */
export function keep(data) {
    const { buffer = data, byteOffset = 0, byteLength, size } = Object(data);
    if (byteLength >= 0)
        return buffer.slice(byteOffset, byteOffset + byteLength);
    return size >= 0 ? data : `${data}`;
}
