/**
 * What a browser says about the world around the client: back online, visible again, out of the back/forward cache.
 * Elsewhere there is nothing to hear.
 * @module
 */
/**
 * @param {{ online: () => void, offline: () => void, shown: () => void, left: () => void }} hooks `left`: the page is
 *   closed, or kept for the way back, which browsers only do where no connection is open
 * @returns {() => void} stops listening
 */
export function watchEnvironment({ online, offline, shown, left }: {
    online: () => void;
    offline: () => void;
    shown: () => void;
    left: () => void;
}): () => void;
