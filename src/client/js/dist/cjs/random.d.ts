/** A source of whole numbers from 0 to 2³² − 1. */
export type Uint32Source = () => number;
/** Returns the generator mulberry32. */
export declare function mulberry32(seed: number): Uint32Source;
/**
 * Returns U(a, b) of the protocol: a time from `a`, below `b` unless they are equal. Each call
 * takes one number of `next`.
 */
export declare const createUniform: (next: Uint32Source) => (a: number, b: number) => number;
