/** Bundles the driver with src/channel/ as the build does for the njs engine, but with dictionaries and a clock of its own. */
import { join } from 'node:path';
import { build } from 'esbuild';
import { FOR_BOTH } from '../../scripts/build.ts';
import { root } from '../../scripts/paths.ts';

export async function bundleDriver(entry = 'driver.ts'): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(root, 'test/model', entry)],
    bundle: true,
    write: false,
    external: ['fs'],
    format: 'esm',
    logLevel: 'error',
    ...FOR_BOTH,
    define: { 'Date.now': 'now' },
    inject: [join(root, 'test/model/now.ts')],
    plugins: [
      {
        name: 'zones',
        setup({ onResolve }) {
          onResolve({ filter: /\/zones\.ts$/ }, () => ({ path: join(root, 'test/model/zones.ts') }));
        },
      },
    ],
  });
  return outputFiles[0]!.text;
}
