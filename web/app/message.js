/**
 * One message as an element. Draws what it is given and keeps nothing.
 * @module
 */

import { h, isolated } from './dom.js';
import { clockTime, fullTime, initialOf, isJumbo, partsOf, plainOf, tintOf } from './format.js';
import { waitingText } from './texts.js';

/** @import { Item, Message } from '../client/index.js' */

/** @param {import('./format.js').Part} part @returns {Node | string} */
function drawn(part) {
  switch (part.kind) {
    case 'text': return part.text;
    case 'link': return h('a', { href: part.href, target: '_blank', rel: 'noopener noreferrer' }, part.text);
    case 'code': return h('code', { dir: 'ltr' }, part.text);
    case 'block': return h('pre', { dir: 'ltr' }, h('code', {}, part.text));
    default: return h(part.kind, {}, ...part.parts.map(drawn));
  }
}

/** @param {string} text */
const body = (text) => h('div', { class: `text${isJumbo(text) ? ' jumbo' : ''}`, dir: 'auto' }, ...partsOf(text).map(drawn));

/**
 * The line above an answer. What it answers may not be loaded.
 * @param {number} offset
 * @param {Message | undefined} message
 * @param {(offset: number) => void} goTo
 */
function quote(offset, message, goTo) {
  const words = !message ? ['an earlier message'] : message.deleted ? ['a deleted message']
    : [isolated(message.user.name, { class: 'name', style: tintOf(message.user.id) }), ' ', isolated(plainOf(message.text))];
  return h('button', { type: 'button', class: 'quote', onclick: () => goTo(offset) }, h('span', {}, ...words));
}

/**
 * @param {Message} message
 * @param {string} me user id
 * @param {Item[]} waiting reactions that are on their way
 * @param {(emoji: string, on: boolean) => void} react
 */
function reactions(message, me, waiting, react) {
  const shown = new Map([...message.reactions].map(([emoji, users]) => [emoji, { users, mine: users.some(({ id }) => id === me), soon: false }]));
  for (const { command: { emoji = '', on } } of waiting) {
    const known = shown.get(emoji) ?? { users: [], mine: false, soon: true };
    shown.set(emoji, { users: known.users.filter(({ id }) => id !== me), mine: on === true, soon: true });
  }
  const buttons = [...shown].filter(([, { users, mine }]) => mine || users.length).map(([emoji, { users, mine, soon }]) => {
    const others = users.filter(({ id }) => id !== me);
    const count = others.length + (mine ? 1 : 0);
    const who = [...others.map(({ name }) => name), ...(mine ? ['you'] : [])].slice(0, 20).join(', ');
    return h('button', {
      type: 'button', class: `reaction${mine ? ' mine' : ''}${soon ? ' soon' : ''}`, 'aria-pressed': String(mine), title: who,
      'aria-label': `${emoji} ${count}: ${who}`, onclick: () => react(emoji, !mine),
    }, h('span', { class: 'emoji' }, emoji), ` ${count}`);
  });
  return buttons.length ? h('div', { class: 'reactions' }, ...buttons) : null;
}

/**
 * What people may do with what is shown.
 * @typedef {object} Acts
 * @property {(offset: number) => void} goTo
 * @property {(message: Message, emoji: string, on: boolean) => void} react
 * @property {(key: string) => void} retry
 * @property {(item: Item) => void} discard
 * @property {() => void} invite
 */
/**
 * @typedef {object} MessageView
 * @property {Message} message
 * @property {boolean} grouped it goes on under the name above it
 * @property {string | undefined} day the day line above it
 * @property {boolean} firstNew the line "New" is above it
 * @property {string} me user id
 * @property {Item[]} waiting what is in the outbox about it, and itself where it is not acknowledged yet
 * @property {Message | undefined} quoted
 * @property {Acts} acts
 */

/** @param {MessageView} view */
export function messageRow({ message, grouped, day, firstNew, me, waiting, quoted, acts }) {
  const edit = waiting.findLast(({ command, state }) => command.type === 'edit' && state === 'waiting');
  const leaving = waiting.some(({ command, state }) => command.type === 'delete' && state === 'waiting');
  const sending = waiting.some(({ key, state }) => key === message.key && state === 'waiting');
  const text = edit?.command.text ?? message.text;
  const mine = message.user.id === me;
  const marks = [
    message.deleted ? null : edit ? 'saving…' : message.edited ? 'edited' : null,
    leaving ? 'deleting…' : null,
    sending ? 'sending…' : null,
  ].filter(Boolean).join(' · ');
  return h('li', {
    class: `message${grouped ? ' grouped' : ''}${mine ? ' own' : ''}${leaving ? ' leaving' : ''}`, 'data-offset': message.offset, tabindex: -1,
  },
  day && h('div', { class: 'day', role: 'separator' }, h('span', {}, day)),
  firstNew && h('div', { class: 'new', role: 'separator' }, h('span', {}, 'New')),
  h('div', { class: 'bubble' },
    grouped ? h('time', { class: 'side', dateTime: new Date(message.at).toISOString(), title: fullTime(message.at) }, clockTime(message.at))
      : h('span', { class: 'avatar', style: tintOf(message.user.id), 'aria-hidden': 'true' }, initialOf(message.user.name)),
    h('div', { class: 'content' },
      h('div', { class: grouped ? 'head visually-hidden' : 'head' },
        isolated(message.user.name, { class: 'name', style: tintOf(message.user.id) }),
        grouped ? null : h('time', { dateTime: new Date(message.at).toISOString(), title: fullTime(message.at) }, clockTime(message.at))),
      message.replyTo !== undefined && !message.deleted && quote(message.replyTo, quoted, acts.goTo),
      message.deleted ? h('div', { class: 'text tombstone' }, 'Message deleted') : body(text),
      marks && h('span', { class: 'marks' }, marks),
      message.deleted ? null : reactions(message, me, waiting.filter(({ command, state }) => command.type === 'react' && state === 'waiting'),
        (emoji, on) => acts.react(message, emoji, on)))));
}

/**
 * A message that the room doesn't have yet.
 * @param {Item} item
 * @param {string} name
 * @param {boolean} online
 * @param {Message | undefined} quoted
 * @param {Acts} acts
 */
export function pendingRow(item, name, online, quoted, { goTo, retry, discard }) {
  const stuck = item.state !== 'waiting';
  return h('li', { class: `message own pending${stuck ? ' stuck' : ''}`, 'data-key': item.key },
    h('div', { class: 'bubble' },
      h('span', { class: 'avatar', style: tintOf(item.user), 'aria-hidden': 'true' }, initialOf(name)),
      h('div', { class: 'content' },
        h('div', { class: 'head' }, isolated(name, { class: 'name', style: tintOf(item.user) }),
          h('time', { dateTime: new Date(item.queuedAt).toISOString() }, clockTime(item.queuedAt))),
        item.command.reply_to !== undefined && quote(item.command.reply_to, quoted, goTo),
        h('div', {}, ...describe(item)),
        stuck ? h('div', { class: 'ask' },
          h('span', { class: 'marks' }, waitingText(item)),
          h('button', { type: 'button', class: 'small', onclick: () => retry(item.key) }, item.state === 'asking' ? 'Send again' : 'Try again'),
          h('button', { type: 'button', class: 'small', onclick: () => discard(item) }, item.command.text ? 'Take back' : 'Discard'))
          : h('span', { class: 'marks' }, online ? 'sending…' : 'waiting…'))));
}

/** @param {Item} item */
function describe({ command }) {
  const { text = '' } = command;
  if (command.type === 'send') return [body(text)];
  if (command.type === 'edit') return [h('div', { class: 'text aside' }, 'Your edit:'), body(text)];
  if (command.type === 'delete') return [h('div', { class: 'text aside' }, 'Deleting a message')];
  return [h('div', { class: 'text aside' }, command.on ? `Reacting with ${command.emoji}` : `Taking back ${command.emoji}`)];
}
