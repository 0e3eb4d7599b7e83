import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const WEB = fileURLToPath(new URL('../../../web/', import.meta.url));
const KIB = 1024;
const gzipped = (bytes) => gzipSync(bytes, { level: 9 }).length;

/** Everything that an entry imports, as paths below web/. */
async function closure(entry) {
  const { metafile } = await build({ entryPoints: [WEB + entry], bundle: true, format: 'esm', write: false, metafile: true, logLevel: 'silent', absWorkingDir: WEB });
  return Object.keys(metafile.inputs).map((path) => relative(WEB, WEB + path)).sort();
}

test('the_client_is_at_most_12_kib_minified_and_gzipped', async (t) => {
  const { outputFiles } = await build({ entryPoints: [`${WEB}client/index.js`], bundle: true, minify: true, format: 'esm', write: false });
  const size = gzipped(outputFiles[0].contents);
  t.diagnostic(`client: ${(size / KIB).toFixed(1)} KiB`);
  assert.ok(size <= 12 * KIB, `${size} bytes`);
});

test('the_page_with_all_it_loads_is_at_most_60_kib_gzipped', async (t) => {
  const files = ['index.html', 'style.css', 'manifest.webmanifest', 'icons/confab.svg', 'icons/maskable.svg', ...await closure('app.js')];
  const size = (await Promise.all(files.map(async (file) => gzipped(await readFile(WEB + file))))).reduce((sum, one) => sum + one, 0);
  t.diagnostic(`page: ${(size / KIB).toFixed(1)} KiB in ${files.length} files`);
  assert.ok(size <= 60 * KIB, `${size} bytes`);
});

test('the_document_names_every_module_so_that_none_waits_for_another', async () => {
  const html = await readFile(`${WEB}index.html`, 'utf8');
  const named = [...html.matchAll(/rel="modulepreload" href="\/assets\/([^"]+)"/g)].map(([, path]) => path).sort();
  assert.deepEqual(named, await closure('app.js'));
});
