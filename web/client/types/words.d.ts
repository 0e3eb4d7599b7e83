/**
 * A place in a room's log. Equal chains at one offset mean that everything before is equal too.
 */
export type Position = {
    offset: number;
    chain: string;
};
export type User = {
    id: string;
    name: string;
};
export type EntryKind = "message" | "edited" | "deleted" | "reacted";
/**
 * what `sent` promises
 */
export type Durability = "replicated" | "stored" | "memory";
/**
 * One entry of a room. Whose text was withdrawn carries `text_sha` in place of `text`.
 */
export type Entry = {
    type: EntryKind;
    room: string;
    /**
     * dense, from 1
     */
    offset: number;
    /**
     * 16 hex digits
     */
    chain: string;
    /**
     * Unix milliseconds, never before the entry ahead of it
     */
    at: number;
    user: User;
    /**
     * the author's idempotency key
     */
    key: string;
    /**
     * `message` and `edited`
     */
    text?: string | undefined;
    /**
     * 40 hex digits, where the text is withheld
     */
    text_sha?: string | undefined;
    /**
     * the text was withheld because the message was deleted
     */
    deleted?: boolean | undefined;
    /**
     * the text was withheld because a later edit replaced it
     */
    edited?: boolean | undefined;
    /**
     * the offset that an `edited`, `deleted` or `reacted` entry is about
     */
    target?: number | undefined;
    /**
     * `reacted`
     */
    emoji?: string | undefined;
    /**
     * `reacted`: set or taken back
     */
    on?: boolean | undefined;
    /**
     * the offset that a `message` answers
     */
    reply_to?: number | undefined;
};
/**
 * Limits under the names that `welcome.limits` uses; characters are Unicode scalar values.
 */
export type Limits = Record<string, number>;
export type Welcome = {
    type: "welcome";
    user: User;
    /**
     * signed; lives 30 days and is renewed by every welcome
     */
    token: string;
    instance: string;
    revision?: string | undefined;
    durability: Durability;
    heartbeat_ms: number;
    rotate_after_ms?: number | undefined;
    limits: Limits;
};
export type ResetReason = "trimmed" | "diverged" | "lost";
export type Joined = {
    type: "joined";
    /**
     * the canonical spelling
     */
    room: string;
    /**
     * of the last entry in the reply
     */
    position: Position;
    /**
     * only after a join with `since`
     */
    recovered?: boolean | undefined;
    /**
     * why `since` could not be honoured
     */
    reason?: ResetReason | undefined;
    entries: Entry[];
    /**
     * the rest of a resume follows as pushes
     */
    more?: boolean | undefined;
    /**
     * lowest offset kept; 0 for none
     */
    oldest: number;
    /**
     * this user's read mark
     */
    read?: number | undefined;
    /**
     * absent in large rooms
     */
    members?: User[] | undefined;
    member_count: number;
};
export type Page = {
    type: "page";
    room: string;
    /**
     * the top of the room
     */
    position: Position;
    /**
     * oldest first
     */
    entries: Entry[];
    /**
     * older entries are kept
     */
    more: boolean;
    oldest: number;
};
export type Sent = {
    type: "sent";
    room: string;
    position: Position;
    at: number;
    durability: Durability;
    /**
     * an earlier attempt with this key had been stored
     */
    duplicate: boolean;
};
/**
 * any object on the wire
 */
export type Message = {
    type: string;
    id?: number;
    [field: string]: any;
};
