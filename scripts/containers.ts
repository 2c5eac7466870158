/** The demo's two containers: nginx, and an upstream that it follows. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Engine } from './engine.ts';
import { root } from './paths.ts';
import { Missing, output, runQuietly, say, succeeds } from './run.ts';

export const NGINX = 'njs-sse';
export const MACHINE = 'njs-sse-machine';

const HEALTH_SECONDS = 20;

export async function startNginx(engine: Engine, image: string, port: string): Promise<void> {
  say(`starting the container "${NGINX}"`);
  runQuietly(engine, ['run', '--detach', '--name', NGINX, '--publish', `127.0.0.1:${port}:8080`, image]);
  await waitForHealth(engine, NGINX, () => answers(`http://127.0.0.1:${port}/health`));
}

/** In the network of the first container, so that they need no names for each other. */
export async function startMachine(engine: Engine, image: string): Promise<void> {
  say(`starting the container "${MACHINE}", an upstream`);
  runQuietly(engine, [
    'run',
    '--detach',
    '--name',
    MACHINE,
    '--network',
    `container:${NGINX}`,
    // The image's own looks for the first one's port.
    '--no-healthcheck',
    image,
    'nginx',
    '-c',
    '/etc/nginx/machine.conf',
    '-g',
    'daemon off;',
  ]);
  await waitForHealth(engine, MACHINE, () =>
    succeeds(engine, 'exec', MACHINE, 'curl', '-fsS', 'http://127.0.0.1:8090/health'),
  );
  // Only now, so that nginx finds the upstream there and has no failure to log.
  runQuietly(engine, ['cp', join(root, 'examples/upstreams'), `${NGINX}:/etc/nginx/`]);
  runQuietly(engine, ['kill', '--signal', 'HUP', NGINX]);
}

/** Removes both, and returns false if one of them is still there. */
export function removeContainers(engine: Engine): boolean {
  // Podman does not remove a container whose network another one uses.
  const names = [MACHINE, NGINX];
  for (const name of names) {
    succeeds(engine, 'rm', '--force', '--volumes', name);
  }
  return !names.some((name) => exists(engine, name));
}

export function exists(engine: Engine, name: string): boolean {
  return succeeds(engine, 'container', 'inspect', name);
}

async function waitForHealth(
  engine: Engine,
  name: string,
  isHealthy: () => Promise<boolean> | boolean,
): Promise<void> {
  for (let i = 0; i < HEALTH_SECONDS * 5; i++) {
    if (await isHealthy()) {
      return;
    }
    await sleep(200);
  }
  const log = output(engine, 'logs', '--tail', '5', name);
  throw new Missing(`nginx in the container "${name}" does not answer: ${log.trim() || 'its log is empty'}`);
}

function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    (reply) => reply.ok,
    () => false,
  );
}
