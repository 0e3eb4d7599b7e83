/**
 * What the page tells people: one text for each state, each refusal, each way a connection can end. Every one says
 * what the person can do, or that there is nothing to do.
 * @module
 */

/** @type {Record<string, string>} by code */
export const REFUSALS = {
  bad_message: 'The server didn’t understand this page. Reload it: there may be a newer version.',
  unknown_type: 'The server doesn’t know this action. Reload the page: one of the two is older.',
  not_signed_in: 'The connection isn’t signed in. Reload the page.',
  bad_token: 'You were signed out: this sign-in is too old or belongs to another server. Sign in again.',
  not_joined: 'This room isn’t joined. Open it again.',
  bad_room: 'This can’t be the name of a room. Use letters, digits, spaces and ordinary signs.',
  bad_name: 'This can’t be a name. Use letters, digits, spaces and ordinary signs.',
  bad_text: 'This text can’t be sent: it is empty, or holds invisible control characters.',
  bad_emoji: 'This can’t be a reaction. Choose another emoji.',
  bad_key: 'The server refused this message’s key. Send it again.',
  too_long: 'This is too long. Make it shorter.',
  too_many_rooms: 'You are in as many rooms as one connection may join. Leave one first.',
  not_found: 'The message this is about is deleted, or too old to be kept.',
  forbidden: 'Only the author may do this.',
  rate_limited: 'That was a lot at once. It goes on by itself in a moment.',
  key_conflict: 'The server knows this message’s key with another text. Send it again.',
  unconfirmed: 'The server couldn’t confirm that this is stored. It is being tried again.',
  overloaded: 'The server has too much to do. It is being tried again.',
  unavailable: 'The server can’t store right now. It is being tried again.',
  internal: 'Something went wrong on the server. It is being tried again.',
};

/** What this browser can't do. */
export const STORAGE = 'This browser keeps nothing: what waits here is lost if you close the page before it is sent.';

/** @type {Record<string | number, string>} by close code */
export const CLOSES = {
  1002: 'The connection broke the rules of WebSocket. Reload the page.',
  1003: 'The server refused the kind of data this page sent. Reload the page.',
  1007: 'The server received damaged text. Reload the page.',
  1009: 'A message was too large for the server. Reload the page.',
  4500: 'The server didn’t understand this page several times in a row. Reload it.',
  4503: 'You may not use this server.',
};

/** @type {Record<string, string>} */
const WHY_ASKING = {
  missing: 'Not sent: the room doesn’t have it.',
  unknowable: 'Perhaps sent: the room no longer tells.',
};

/** @param {import('../client/index.js').Item} item */
export const waitingText = (item) => (item.state === 'asking'
  ? WHY_ASKING[item.why ?? ''] ?? WHY_ASKING.unknowable
  : REFUSALS[item.why ?? ''] ?? 'The server refused it.');

/** @type {Record<string, string>} */
const RESETS = {
  trimmed: 'You were away for long: older messages than these are no longer kept.',
  diverged: 'The server lost its latest messages and went on without them. This is what it has.',
  lost: 'The server lost this room’s messages. What is here now is all it has.',
};

/** @param {string} reason */
export const resetText = (reason) => RESETS[reason] ?? '';

/** @param {number} count @param {string} one @param {string} many */
const plural = (count, one, many) => (count === 1 ? `1 ${one}` : `${count} ${many}`);

/**
 * The one line that says what is going on; empty where nothing needs saying.
 * @param {import('../client/index.js').Status} status
 * @param {number} waiting items that go out by themselves
 * @param {number} now
 * @returns {{ text: string, tone: 'calm' | 'wait' | 'stop', action?: 'dial' | 'signin' | 'wake' }}
 */
export function statusText(status, waiting, now) {
  const held = waiting ? ` ${plural(waiting, 'message waits', 'messages wait')} here.` : '';
  switch (status.state) {
    case 'live':
      return waiting ? { text: `Sending ${plural(waiting, 'message', 'messages')}…`, tone: 'calm' } : { text: '', tone: 'calm' };
    case 'catching up':
      return { text: `The room is catching up…${held}`, tone: 'calm' };
    case 'connecting':
      return { text: `Connecting…${held}`, tone: 'wait' };
    case 'degraded':
      return { text: `The server can’t store right now. ${waiting ? `${plural(waiting, 'message waits', 'messages wait')} here and will be sent.` : 'What you write will wait here.'}`, tone: 'wait' };
    case 'offline': {
      const seconds = Math.max(0, Math.ceil(((status.retryAt ?? now) - now) / 1000));
      const when = seconds > 0 ? `Reconnecting in ${seconds} s.` : 'Reconnecting…';
      return { text: `${status.code === 'device' ? 'This device is offline.' : 'No connection.'} ${when}${held}`, tone: 'wait', action: 'dial' };
    }
    case 'asleep':
      return { text: `Asleep, because nobody looked at this page.${held}`, tone: 'calm', action: 'wake' };
    case 'refused': {
      const { code = '' } = status;
      const text = REFUSALS[code] ?? CLOSES[code] ?? `The server ended the connection (${code}).`;
      return { text: `${text}${held}`, tone: 'stop', action: ['bad_token', 'bad_name', 'too_long'].includes(String(code)) ? 'signin' : 'dial' };
    }
    default:
      return { text: `Not connected.${held}`, tone: 'wait', action: 'dial' };
  }
}
