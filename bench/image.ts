/** The image of the benchmarks: Debian's nginx with njs and nchan, and a compiler for the load generator. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canInstall, install } from '../scripts/debian.ts';
import type { Engine } from '../scripts/engine.ts';
import { Missing, runQuietly, say, succeeds } from '../scripts/run.ts';

/** The tag changes with the list of packages. */
const IMAGE = 'njs-sse-bench-base:debian-forky-1';
const PACKAGES = [
  'nginx',
  'libnginx-mod-http-js',
  'libnginx-mod-stream',
  'libnginx-mod-stream-js',
  'libnginx-mod-nchan',
  'ca-certificates',
  'curl',
  'gcc',
  'libc6-dev',
  'procps',
  'util-linux',
];

/** Builds the image where it is missing, always from Debian's packages: nchan has to be built for the same nginx. */
export function buildBenchImage(engine: Engine): string {
  if (succeeds(engine, 'image', 'inspect', IMAGE)) {
    return IMAGE;
  }
  if (!canInstall()) {
    throw new Missing(`only root on Debian or Ubuntu can build the image ${IMAGE}`);
  }
  say(`building the image ${IMAGE} from Debian's packages`);
  install('mmdebstrap', 'debian-archive-keyring');
  const folder = mkdtempSync(join(tmpdir(), 'njs-sse-'));
  try {
    const tar = join(folder, 'base.tar');
    runQuietly('mmdebstrap', [
      '--quiet',
      '--variant=minbase',
      '--keyring=/usr/share/keyrings/debian-archive-keyring.gpg',
      // A mirror may be a frozen one, whose lists have expired.
      '--aptopt=Acquire::Check-Valid-Until "false"',
      `--include=${PACKAGES.join(',')}`,
      'forky',
      tar,
    ]);
    runQuietly(engine, ['import', tar, IMAGE]);
  } finally {
    rmSync(folder, { recursive: true });
  }
  return IMAGE;
}
