/**
 * The page: signed out or signed in, and the client that goes with it.
 * @module
 */

import { readAddress } from './app/address.js';
import { Chat } from './app/chat.js';
import { recall, recallIdentity, remember, rememberIdentity } from './app/memory.js';
import { signIn } from './app/signin.js';
import { REFUSALS } from './app/texts.js';
import { applyTheme } from './app/theme.js';
import { Client, memoryStore, webStore } from './client/index.js';

const root = /** @type {HTMLElement} */ (document.getElementById('app'));
const url = new URL('/ws', location.href);
url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';

/** @type {Chat | undefined} */
let chat;

function outboxStore() {
  try {
    return webStore(localStorage);
  } catch {
    return memoryStore(); // storage is blocked
  }
}

/** @param {string} [notice] */
function signedOut(notice) {
  chat?.destroy();
  chat = undefined;
  document.title = 'confab';
  root.replaceChildren(signIn({
    name: recall('name', ''),
    room: readAddress().room ?? recall('room', 'lobby'),
    notice,
    limits: { name_chars: 64, room_chars: 128 },
    submit: (name, room) => signedIn({ name, room }),
  }));
}

/** @param {{ name: string, room: string, identity?: ReturnType<typeof recallIdentity> }} who */
function signedIn({ name, room, identity }) {
  remember('name', name);
  const client = new Client({ url: url.href, name, token: identity?.token, user: identity?.user, store: outboxStore() });
  client.on('signedin', ({ user, token }) => {
    remember('name', user.name);
    rememberIdentity({ user, token });
    chat?.warnOfForgetfulness();
  });
  const leave = (/** @type {string} */ reason) => {
    client.close();
    rememberIdentity(undefined);
    signedOut(reason);
  };
  client.on('status', ({ state, code }) => {
    if (state === 'refused' && ['bad_token', 'bad_name', 'too_long'].includes(String(code))) leave(REFUSALS[code === 'too_long' ? 'bad_name' : String(code)]);
  });
  chat = new Chat(root, client, { firstRoom: room, signOut: () => leave('') });
  client.connect();
}

applyTheme();
const identity = recallIdentity();
if (identity) signedIn({ name: identity.user.name, room: readAddress().room ?? recall('room', 'lobby'), identity });
else signedOut();
