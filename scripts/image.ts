/** Builds our image from the Dockerfile: on the official nginx image, or on one made from Debian's packages. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canInstall, install } from './debian.ts';
import type { Engine } from './engine.ts';
import { root } from './paths.ts';
import { Missing, runQuietly, say, succeeds } from './run.ts';

const OFFICIAL = 'nginx:1.30';
/** Not official: nginx and njs as Debian builds them. The tag changes with the list of packages. */
const DEBIAN = 'njs-sse-base:debian-forky-1';
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

export function buildImage(engine: Engine, name: string): Image {
  const official = hasOfficial(engine);
  if (!official) {
    buildDebianBase(engine);
  }
  say(`building the image ${name} on ${official ? OFFICIAL : DEBIAN}`);
  const base = `BASE_IMAGE=${official ? OFFICIAL : DEBIAN}`;
  runQuietly(
    engine,
    ['build', '--build-arg', base, '--tag', name, root],
    // Docker's newer builder is a plugin that may be missing.
    succeeds(engine, 'buildx', 'version') ? process.env : { ...process.env, DOCKER_BUILDKIT: '0' },
  );
  return { name, official };
}

function hasOfficial(engine: Engine): boolean {
  if (succeeds(engine, 'image', 'inspect', OFFICIAL)) {
    return true;
  }
  say(`pulling ${OFFICIAL}`);
  return succeeds(
    engine,
    'pull',
    '--quiet',
    engine === 'podman' ? `docker.io/library/${OFFICIAL}` : OFFICIAL,
  );
}

function buildDebianBase(engine: Engine): void {
  if (succeeds(engine, 'image', 'inspect', DEBIAN)) {
    return;
  }
  if (!canInstall()) {
    throw new Missing(
      `the image ${OFFICIAL} cannot be pulled, and only root on Debian or Ubuntu can build another base`,
    );
  }
  say(`${OFFICIAL} cannot be had: building a base image from Debian's packages instead`);
  buildFromDebian(engine, DEBIAN, DEBIAN_PACKAGES);
}

/** Builds an image of these packages, and what they need, as Debian has them. */
export function buildFromDebian(engine: Engine, name: string, packages: string[]): void {
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
      'forky',
      tar,
    ]);
    runQuietly(engine, ['import', tar, name]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
