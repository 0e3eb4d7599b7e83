/**
 * What can go wrong, as types: a refusal (an answer with a code), a lost connection (no answer), an input that is
 * refused before it is sent. Knows nothing of sockets.
 * @module
 */

/** Base of every error that this package throws; `code` is stable, `message` is for people who debug. */
export class ConfabError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = new.target.name;
    /** @readonly */
    this.code = code;
  }
}

/** The server answered `error`. `retryMs` is there only where a retry can help. */
export class Refusal extends ConfabError {
  /** @param {{ [field: string]: any }} reply an `error` message */
  constructor(reply) {
    super(String(reply.code ?? 'internal'), String(reply.message ?? reply.code ?? 'refused'));
    /** @readonly @type {number | undefined} */
    this.retryMs = typeof reply.retry_ms === 'number' ? reply.retry_ms : undefined;
  }
}

/** The connection ended before an answer came: what was asked may or may not have happened. */
export class Disconnected extends ConfabError {
  /**
   * @param {number} closeCode 1006 where the connection ended without a close frame
   * @param {string} reason
   */
  constructor(closeCode, reason) {
    super('disconnected', `connection ended with ${closeCode}${reason ? `: ${reason}` : ''}`);
    /** @readonly */
    this.closeCode = closeCode;
    /** @readonly */
    this.reason = reason;
  }
}

/** The server would surely refuse this input, so it was not sent: `bad_text`, `too_long`, … */
export class InvalidInput extends ConfabError {}

/** Refusals after which the outcome of a send is unknown. Every other refusal means: this attempt stored nothing. */
export const UNKNOWN_OUTCOME = new Set(['unconfirmed', 'unavailable', 'internal']);

/** Refusals that pass by themselves. */
export const PASSING = new Set([...UNKNOWN_OUTCOME, 'overloaded', 'rate_limited']);

/** Close codes of a bug on one side: dialling again would loop. */
const BUGS = new Set([1002, 1003, 1007, 1009]);

/**
 * What a close code asks of the client.
 * @param {number} code
 * @param {string} reason may carry `retry_ms=…`
 * @returns {{ comeBack: boolean, retryMs: number }}
 */
export function afterClose(code, reason) {
  const told = /(?:^|[^a-z_])retry_ms=(\d{1,9})/.exec(reason);
  return { comeBack: !BUGS.has(code) && !(code >= 4500 && code <= 4999), retryMs: told ? Number(told[1]) : 0 };
}
