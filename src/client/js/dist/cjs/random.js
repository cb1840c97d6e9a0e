"use strict";
// Random numbers that are the same in every client with the same seed.
Object.defineProperty(exports, "__esModule", { value: true });
exports.createUniform = void 0;
exports.mulberry32 = mulberry32;
/** Returns the generator mulberry32. */
function mulberry32(seed) {
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
const createUniform = (next) => (a, b) => a + Math.floor((next() * (b - a)) / 2 ** 32);
exports.createUniform = createUniform;
