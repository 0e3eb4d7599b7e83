/**
 * A new idempotency key. `randomUUID` is missing on plain http outside localhost, `getRandomValues` is not.
 * @returns {string} 32 hex digits
 */
export function newKey(): string;
/**
 * Time and chance, as parameters: everything else in this package asks here, so that tests can hold both.
 * @module
 */
/**
 * @typedef {object} Clock
 * @property {() => number} now Unix milliseconds
 * @property {(run: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => number} random in [0, 1)
 */
/** @type {Clock} */
export const systemClock: Clock;
/** Back-off with full jitter: a random wait below a ceiling that doubles from `base` to `cap`. */
export class Backoff {
    /**
     * @param {() => number} random
     * @param {number} [base] milliseconds
     * @param {number} [cap] milliseconds
     */
    constructor(random: () => number, base?: number, cap?: number);
    random: () => number;
    base: number;
    cap: number;
    /** Attempts since the last reset. */
    get attempt(): number;
    /** The next wait in milliseconds. */
    next(): number;
    reset(): void;
    #private;
}
export type Clock = {
    /**
     * Unix milliseconds
     */
    now: () => number;
    setTimeout: (run: () => void, ms: number) => any;
    clearTimeout: (timer: any) => void;
    /**
     * in [0, 1)
     */
    random: () => number;
};
