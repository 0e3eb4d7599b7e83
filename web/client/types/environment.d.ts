/**
 * What a browser says about the world around the client: back online, visible again, out of the back/forward cache.
 * Elsewhere there is nothing to hear.
 * @module
 */
/**
 * @param {{ online: () => void, offline: () => void, shown: () => void }} hooks
 * @returns {() => void} stops listening
 */
export function watchEnvironment({ online, offline, shown }: {
    online: () => void;
    offline: () => void;
    shown: () => void;
}): () => void;
