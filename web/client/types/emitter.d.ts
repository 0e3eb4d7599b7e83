/**
 * Typed events. A listener that throws harms nobody else: its error is reported like any uncaught one.
 * @module
 */
/**
 * @template {Record<string, any>} Events name of each event, with the type of its detail
 */
export class Emitter<Events extends Record<string, any>> {
    /**
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {(detail: Events[Name]) => void} listener
     * @returns {() => void} takes the listener off again
     */
    on<Name extends keyof Events>(name: Name, listener: (detail: Events[Name]) => void): () => void;
    /**
     * @protected
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {Events[Name]} detail
     */
    protected emit<Name extends keyof Events>(name: Name, detail: Events[Name]): void;
    #private;
}
