export type Data = string | ArrayBuffer | ArrayBufferView | Blob;
/** The length of a message in bytes. A text counts in UTF-8, a pair of surrogates as 4 bytes. */
export declare const sizeOf: (data: any) => number;
/** Returns a copy that the application cannot change. */
export declare function keep(data: any): Data;
