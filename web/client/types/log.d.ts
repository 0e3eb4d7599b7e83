export class Log {
    /** The entries loaded, oldest first. Do not change it. */
    get entries(): Entry[];
    /** Where the log ends for this client. */
    get position(): Position;
    /** The lowest loaded offset, or the one that would come next in an empty log. */
    get first(): number;
    /**
     * Takes a push.
     * @param {Entry} entry
     * @returns {{ added: Entry[], hole: boolean }} what became visible, and whether something before it is missing
     */
    push(entry: Entry): {
        added: Entry[];
        hole: boolean;
    };
    /**
     * Takes the entries of a resume that was honoured: they follow a position that this log has been at.
     * @param {Entry[]} entries
     * @param {boolean} more the rest comes as pushes, in order: what is missing yet is no hole
     * @returns {{ added: Entry[], hole: boolean }}
     */
    resume(entries: Entry[], more: boolean): {
        added: Entry[];
        hole: boolean;
    };
    /**
     * Drops everything and starts from a newest page.
     * @param {Entry[]} entries
     * @param {Position} position
     */
    reset(entries: Entry[], position: Position): void;
    /**
     * Puts an older page in front.
     * @param {Entry[]} entries
     * @returns {Entry[]} what was added: nothing where the page doesn't reach what is loaded
     */
    prepend(entries: Entry[]): Entry[];
    /**
     * Forgets the oldest entries; `prepend` brings them back.
     * @param {number} keep
     * @returns {number} how many were forgotten
     */
    trim(keep: number): number;
    /**
     * @param {number} offset
     * @returns {Message | undefined}
     */
    message(offset: number): Message | undefined;
    /** The messages loaded, oldest first. */
    messages(): Message[];
    /**
     * The offset of an entry by its author and key.
     * @param {string} user id
     * @param {string} key
     * @returns {number | undefined}
     */
    find(user: string, key: string): number | undefined;
    #private;
}
/**
 * A message as it stands now.
 */
export type Message = {
    offset: number;
    at: number;
    user: User;
    key: string;
    /**
     * empty where deleted
     */
    text: string;
    replyTo: number | undefined;
    edited: boolean;
    deleted: boolean;
    /**
     * emoji to the people who set it, in the order they did
     */
    reactions: Map<string, User[]>;
};
import type { Entry } from './words.js';
import type { Position } from './words.js';
import type { User } from './words.js';
