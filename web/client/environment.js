/**
 * What a browser says about the world around the client: back online, visible again, out of the back/forward cache.
 * Elsewhere there is nothing to hear.
 * @module
 */

/**
 * @param {{ online: () => void, offline: () => void, shown: () => void }} hooks
 * @returns {() => void} stops listening
 */
export function watchEnvironment({ online, offline, shown }) {
  if (typeof window === 'undefined' || typeof document === 'undefined') return () => {};
  const visible = () => {
    if (document.visibilityState === 'visible') shown();
  };
  /** @type {[EventTarget, string, () => void][]} */
  const listeners = [[window, 'online', online], [window, 'offline', offline], [window, 'pageshow', shown],
    [document, 'visibilitychange', visible]];
  for (const [target, name, run] of listeners) target.addEventListener(name, run);
  return () => listeners.forEach(([target, name, run]) => target.removeEventListener(name, run));
}
