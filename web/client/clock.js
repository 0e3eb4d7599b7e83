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
export const systemClock = {
  now: () => Date.now(),
  setTimeout: (run, ms) => globalThis.setTimeout(run, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
  random: () => Math.random(),
};

/** Back-off with full jitter: a random wait below a ceiling that doubles from `base` to `cap`. */
export class Backoff {
  #attempt = 0;

  /**
   * @param {() => number} random
   * @param {number} [base] milliseconds
   * @param {number} [cap] milliseconds
   */
  constructor(random, base = 1000, cap = 30_000) {
    this.random = random;
    this.base = base;
    this.cap = cap;
  }

  /** Attempts since the last reset. */
  get attempt() {
    return this.#attempt;
  }

  /** The next wait in milliseconds. */
  next() {
    const ceiling = Math.min(this.cap, this.base * 2 ** Math.min(this.#attempt, 16));
    this.#attempt += 1;
    return Math.floor(this.random() * ceiling);
  }

  reset() {
    this.#attempt = 0;
  }
}

/**
 * A new idempotency key. `randomUUID` is missing on plain http outside localhost, `getRandomValues` is not.
 * @returns {string} 32 hex digits
 */
export function newKey() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
