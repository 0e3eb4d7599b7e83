/** Which modules a module needs. */

import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export const WEB = fileURLToPath(new URL('../../../web/', import.meta.url));

/** Everything that an entry imports, itself included, as paths below web/. */
export async function closure(entry) {
  const { metafile } = await build({ entryPoints: [WEB + entry], bundle: true, format: 'esm', write: false, metafile: true, logLevel: 'silent', absWorkingDir: WEB });
  return Object.keys(metafile.inputs).map((path) => relative(WEB, WEB + path)).sort();
}
