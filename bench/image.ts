/** The image of the benchmarks: Debian's nginx with njs and nchan, and a compiler for the load generator. */
import { canInstall } from '../scripts/debian.ts';
import type { Engine } from '../scripts/engine.ts';
import { buildFromDebian } from '../scripts/image.ts';
import { Missing, say, succeeds } from '../scripts/run.ts';

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
  buildFromDebian(engine, IMAGE, 'forky', PACKAGES);
  return IMAGE;
}
