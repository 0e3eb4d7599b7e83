/**
 * What this browser remembers: who is signed in, the rooms, drafts, choices. Where storage is blocked or full it
 * remembers until the page is closed, and says that it does.
 *
 * The identity is kept for this tab first, so that two tabs can be two people; a new tab starts as the latest one.
 * @module
 */

const held = new Map();

/** Whether something could not be kept beyond this page. */
export let forgetful = false;

/** @param {'localStorage' | 'sessionStorage'} storage @param {string} name @param {string | undefined} value */
function write(storage, name, value) {
  try {
    if (value === undefined) globalThis[storage].removeItem(name);
    else globalThis[storage].setItem(name, value);
    return true;
  } catch {
    forgetful = true;
    return false;
  }
}

/** @param {'localStorage' | 'sessionStorage'} storage @param {string} name */
function read(storage, name) {
  try {
    return globalThis[storage].getItem(name) ?? undefined;
  } catch {
    forgetful = true;
    return undefined;
  }
}

/**
 * @param {string} name
 * @param {any} [fallback] for what is missing or was written by something else
 */
export function recall(name, fallback) {
  const text = held.get(name) ?? read('localStorage', `confab.${name}`);
  try {
    return text === undefined ? fallback : JSON.parse(text);
  } catch {
    return fallback;
  }
}

/**
 * @param {string} name
 * @param {unknown} value `undefined` forgets
 */
export function remember(name, value) {
  const text = value === undefined ? undefined : JSON.stringify(value);
  held.delete(name);
  if (!write('localStorage', `confab.${name}`, text) && text !== undefined) held.set(name, text);
}

/** @returns {{ user: { id: string, name: string }, token: string } | undefined} */
export function recallIdentity() {
  try {
    const own = JSON.parse(read('sessionStorage', 'confab.identity') ?? 'null');
    if (own?.token && own.user?.id) return own;
  } catch { /* written by something else */ }
  const latest = recall('identity');
  return latest?.token && latest.user?.id ? latest : undefined;
}

/** @param {{ user: { id: string, name: string }, token: string } | undefined} identity */
export function rememberIdentity(identity) {
  write('sessionStorage', 'confab.identity', identity && JSON.stringify(identity));
  remember('identity', identity);
}
