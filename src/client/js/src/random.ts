// Random numbers that are the same in every client with the same seed.

/** A source of whole numbers from 0 to 2³² − 1. */
export type Uint32Source = () => number;

/** Returns the generator mulberry32. */
export function mulberry32(seed: number): Uint32Source {
    return () => {
        seed = (seed + 0x6d2b79f5) | 0;
        let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return (t ^ (t >>> 14)) >>> 0;
    };
}

/**
 * Returns U(a, b) of the protocol: a time from `a`, below `b` unless they are equal. Each call
 * takes one number of `next`.
 */
export const createUniform = (next: Uint32Source) => (a: number, b: number): number =>
    a + Math.floor((next() * (b - a)) / 2 ** 32);
