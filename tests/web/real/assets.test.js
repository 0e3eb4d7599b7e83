/** The page's files as the server sends them: their size on the wire, and that they are what the sources say. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { get } from 'node:http';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { transform } from 'esbuild';
import { WEB, closure } from '../unit/closure.js';
import { Server } from './server.js';

const KIB = 1024;

/** The body as it comes over the wire. */
const download = (url, headers = {}) => new Promise((resolve, reject) => {
  get(url, { headers }, async (response) => {
    const chunks = await response.toArray();
    resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) });
  }).on('error', reject);
});

const addressOf = (server, file) => server.url + (file === 'index.html' ? '' : `assets/${file}`);

test('the_page_with_all_it_loads_is_at_most_60_kib_on_the_wire', async (t) => {
  const server = await Server.start(t);
  const files = ['index.html', 'style.css', 'manifest.webmanifest', 'icons/confab.svg', 'icons/maskable.svg', ...await closure('app.js')];
  let size = 0;
  for (const file of files) {
    const { status, headers, body } = await download(addressOf(server, file), { 'accept-encoding': 'gzip, br' });
    assert.deepEqual([status, headers['content-encoding']], [200, 'gzip'], file);
    size += body.length;
  }
  t.diagnostic(`page: ${(size / KIB).toFixed(1)} KiB in ${files.length} files`);
  assert.ok(size <= 60 * KIB, `${size} bytes`);
});

test('what_is_sent_is_the_source_without_its_comments', async (t) => {
  const server = await Server.start(t);
  for (const file of ['style.css', ...await closure('app.js')]) {
    const source = await readFile(WEB + file, 'utf8');
    const plain = await download(addressOf(server, file));
    const packed = await download(addressOf(server, file), { 'accept-encoding': 'gzip' });
    assert.ok(gunzipSync(packed.body).equals(plain.body), file);
    assert.notEqual(packed.headers.etag, plain.headers.etag, file);
    const meaning = async (text) => (await transform(text, { loader: file.endsWith('.css') ? 'css' : 'js', minify: true, legalComments: 'none' })).code;
    const sent = plain.body.toString();
    assert.equal(await meaning(sent), await meaning(source), file);
    assert.doesNotMatch(sent, /^\s*(\/\/|\/\*\*$)/m, file);
  }
});
