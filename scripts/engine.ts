/** Finds a container engine; on Debian and Ubuntu, as root, it installs and starts one where none runs. */
import { spawn } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { canInstall, install, isPackage } from './debian.ts';
import { Missing, output, run, say, succeeds } from './run.ts';

/** Docker's command line, which Podman's understands, too. */
export type Engine = 'docker' | 'podman';

const DOCKERD_LOG = '/var/log/njs-sse-dockerd.log';
const START_SECONDS = 60;

export async function findEngine(): Promise<Engine> {
  if (succeeds('docker', 'info')) {
    return 'docker';
  }
  if (succeeds('podman', 'info')) {
    return 'podman';
  }
  if (!canInstall()) {
    throw new Missing('no container engine is running: install and start Docker or Podman, then try again');
  }
  say('no container engine is running');
  if (!existsSync('/usr/sbin/dockerd') && !succeeds('sh', '-c', 'command -v dockerd')) {
    install('docker.io');
  }
  if (!succeeds('docker', '--version') && isPackage('docker-cli')) {
    install('docker-cli');
  }
  await startDocker();
  return 'docker';
}

async function startDocker(): Promise<void> {
  if (existsSync('/run/systemd/system')) {
    say('starting the Docker service');
    run('systemctl', ['start', 'docker']);
  } else if (!succeeds('docker', 'info')) {
    say(`starting dockerd (its log is ${DOCKERD_LOG})`);
    const log = openSync(DOCKERD_LOG, 'a');
    spawn('dockerd', { detached: true, stdio: ['ignore', log, log] }).unref();
  }
  for (let i = 0; i < START_SECONDS * 2; i++) {
    if (succeeds('docker', 'info')) {
      return;
    }
    await sleep(500);
  }
  throw new Missing(`dockerd did not start within ${START_SECONDS} seconds: see ${DOCKERD_LOG}`);
}

/**
 * What testcontainers needs to find the engine: Podman's own socket, which is started if need be.
 */
export async function engineEnvironment(engine: Engine): Promise<Record<string, string>> {
  if (engine === 'docker') {
    return {};
  }
  const socket = output('podman', 'info', '--format', '{{.Host.RemoteSocket.Path}}')
    .trim()
    .replace('unix://', '');
  if (!existsSync(socket)) {
    spawn('podman', ['system', 'service', '--time=0'], { detached: true, stdio: 'ignore' }).unref();
    for (let i = 0; i < START_SECONDS * 2 && !existsSync(socket); i++) {
      await sleep(500);
    }
  }
  return { DOCKER_HOST: `unix://${socket}` };
}
