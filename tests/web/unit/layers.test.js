import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { WEB, closure } from './closure.js';

test('only_the_client_speaks_the_protocol', async () => {
  const files = await closure('app.js');
  assert.ok(files.includes('client/link.js'));
  for (const file of files.filter((path) => !path.startsWith('client/'))) {
    const text = await readFile(WEB + file, 'utf8');
    assert.doesNotMatch(text, /\bnew WebSocket\b|\bfetch\(|XMLHttpRequest|EventSource/, file);
    // The client's front door, and no module behind it.
    for (const [, from] of text.matchAll(/^import .* from '(.*client\/[^']+)';$/gm)) assert.match(from, /client\/index\.js$/, file);
  }
});

test('text_is_never_parsed_as_markup', async () => {
  for (const file of await closure('app.js')) {
    assert.doesNotMatch(await readFile(WEB + file, 'utf8'), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\(|new Function/, file);
  }
});
