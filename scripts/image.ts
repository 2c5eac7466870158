/** Builds our image from the Dockerfile: on the official nginx image, or on one made from Debian's packages. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canInstall, install } from './debian.ts';
import type { Engine } from './engine.ts';
import { root } from './paths.ts';
import { Missing, runQuietly, say, succeeds } from './run.ts';

/** Where nginx and njs come from: the official image or, where that cannot be had, a release of Debian. */
export interface Base {
  official: string;
  debian: 'forky' | 'trixie';
}
export const CURRENT: Base = { official: 'nginx:1.30', debian: 'forky' };
/** nginx 1.26.3 with njs 0.8.9 in either: the oldest that the README promises. */
export const OLDEST: Base = { official: 'nginx:1.26', debian: 'trixie' };

const DEBIAN_PACKAGES = [
  'nginx',
  'libnginx-mod-http-js',
  'libnginx-mod-stream',
  'libnginx-mod-stream-js',
  'ca-certificates',
  'curl',
];

export interface Image {
  name: string;
  /** Whether it stands on the official nginx image, which also tells that registries can be reached. */
  official: boolean;
}

export function buildImage(engine: Engine, name: string, base: Base): Image {
  const official = hasOfficial(engine, base.official);
  const from = official ? base.official : debianBase(engine, base);
  say(`building the image ${name} on ${from}`);
  runQuietly(
    engine,
    ['build', '--build-arg', `BASE_IMAGE=${from}`, '--tag', name, root],
    // Docker's newer builder is a plugin that may be missing.
    succeeds(engine, 'buildx', 'version') ? process.env : { ...process.env, DOCKER_BUILDKIT: '0' },
  );
  return { name, official };
}

function hasOfficial(engine: Engine, image: string): boolean {
  if (succeeds(engine, 'image', 'inspect', image)) {
    return true;
  }
  say(`pulling ${image}`);
  return succeeds(engine, 'pull', '--quiet', engine === 'podman' ? `docker.io/library/${image}` : image);
}

/** Not official: nginx and njs as Debian builds them. Returns the name of an image of the official one's shape. */
function debianBase(engine: Engine, { official, debian }: Base): string {
  // The number changes with the list of packages.
  const name = `njs-sse-base:debian-${debian}-1`;
  if (!succeeds(engine, 'image', 'inspect', name)) {
    if (!canInstall()) {
      throw new Missing(
        `the image ${official} cannot be pulled, and only root on Debian or Ubuntu can build another base`,
      );
    }
    say(`${official} cannot be had: building a base image from Debian's packages instead`);
    buildFromDebian(engine, name, debian, DEBIAN_PACKAGES);
  }
  return name;
}

/** Builds an image of these packages, and what they need, as a release of Debian has them. */
export function buildFromDebian(
  engine: Engine,
  name: string,
  release: Base['debian'],
  packages: string[],
): void {
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
      `--include=${packages.join(',')}`,
      release,
      tar,
    ]);
    runQuietly(engine, ['import', tar, name]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
