/**
 * The page's address: which room, which message. It is the only thing that a link carries; never a token.
 * @module
 */

/** @returns {{ room: string | undefined, at: number | undefined }} */
export function readAddress() {
  const params = new URLSearchParams(location.hash.slice(1));
  const at = Number(params.get('at'));
  return { room: params.get('room')?.trim() || undefined, at: Number.isSafeInteger(at) && at > 0 ? at : undefined };
}

/**
 * @param {string} room
 * @param {number} [at] offset of a message
 */
export const addressOf = (room, at) => `#${new URLSearchParams({ room, ...(at ? { at: String(at) } : {}) })}`;

/** Whether the panel that shows the promises at work is asked for. */
export const wantsProof = () => new URLSearchParams(location.search).has('proof');
