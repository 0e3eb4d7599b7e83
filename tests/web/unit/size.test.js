import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { WEB, closure } from './closure.js';

const KIB = 1024;

test('the_client_is_at_most_12_kib_minified_and_gzipped', async (t) => {
  const { outputFiles } = await build({ entryPoints: [`${WEB}client/index.js`], bundle: true, minify: true, format: 'esm', write: false });
  const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  t.diagnostic(`client: ${(size / KIB).toFixed(1)} KiB`);
  assert.ok(size <= 12 * KIB, `${size} bytes`);
});

test('the_document_names_every_module_so_that_none_waits_for_another', async () => {
  const html = await readFile(`${WEB}index.html`, 'utf8');
  const named = [...html.matchAll(/rel="modulepreload" href="\/assets\/([^"]+)"/g)].map(([, path]) => path).sort();
  assert.deepEqual(named, await closure('app.js'));
});
