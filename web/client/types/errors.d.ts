/**
 * What a close code asks of the client.
 * @param {number} code
 * @param {string} reason may carry `retry_ms=…`
 * @returns {{ comeBack: boolean, retryMs: number }}
 */
export function afterClose(code: number, reason: string): {
    comeBack: boolean;
    retryMs: number;
};
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
    constructor(code: string, message: string);
    /** @readonly */
    readonly code: string;
}
/** The server answered `error`. `retryMs` is there only where a retry can help. */
export class Refusal extends ConfabError {
    /** @param {{ [field: string]: any }} reply an `error` message */
    constructor(reply: {
        [field: string]: any;
    });
    /** @readonly @type {number | undefined} */
    readonly retryMs: number | undefined;
}
/** The connection ended before an answer came: what was asked may or may not have happened. */
export class Disconnected extends ConfabError {
    /**
     * @param {number} closeCode 1006 where the connection ended without a close frame
     * @param {string} reason
     */
    constructor(closeCode: number, reason: string);
    /** @readonly */
    readonly closeCode: number;
    /** @readonly */
    readonly reason: string;
}
/** The server would surely refuse this input, so it was not sent: `bad_text`, `too_long`, … */
export class InvalidInput extends ConfabError {
}
/** Refusals after which the outcome of a send is unknown. Every other refusal means: this attempt stored nothing. */
export const UNKNOWN_OUTCOME: Set<string>;
/** Refusals that pass by themselves. */
export const PASSING: Set<string>;
