/** The one container in which the servers and the load generator run, without a network but loopback. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine } from '../scripts/engine.ts';
import { root } from '../scripts/paths.ts';
import { Missing, runQuietly, succeeds } from '../scripts/run.ts';

const OPEN_FILES = 20000;
/** The container ends by itself, should nobody be there to remove it. */
const LIFETIME = '6h';

export interface Container {
  /** Runs a shell command in the container and returns what it prints. Throws if it fails. */
  sh(command: string, seconds?: number): Promise<string>;
  write(path: string, text: string): void;
  remove(): void;
}

export function startContainer(engine: Engine, image: string): Container {
  const name = `njs-sse-bench-${process.pid}`;
  const files = ['--ulimit', `nofile=${OPEN_FILES}:${OPEN_FILES}`];
  runQuietly(engine, [
    ...['run', '--detach', '--rm', '--init', '--name', name, '--network', 'none', ...files, image],
    ...['sleep', LIFETIME],
  ]);
  const container = {
    sh: (command: string, seconds = 60) => execute(engine, name, command, seconds),
    write: (path: string, text: string) => write(engine, name, path, text),
    remove: () => {
      succeeds(engine, 'rm', '--force', name);
    },
  };
  try {
    fill(engine, name, container);
  } catch (error) {
    container.remove();
    throw error;
  }
  return container;
}

/** Puts in what is measured, and what measures. */
function fill(engine: Engine, name: string, { write }: Container): void {
  runQuietly(engine, ['exec', name, 'mkdir', '-p', '/bench/node_modules']);
  const copies: [from: string, to: string][] = [
    ['dist/sse', '/etc/nginx/sse'],
    ['bench/load.c', '/bench/load.c'],
    ['bench/better-sse.ts', '/bench/better-sse.ts'],
    ['node_modules/better-sse', '/bench/node_modules/better-sse'],
    ['node_modules/node/bin/node', '/bench/node'],
  ];
  for (const [from, to] of copies) {
    runQuietly(engine, ['cp', realpathSync(join(root, from)), `${name}:${to}`]);
  }
  write('/bench/package.json', '{"type": "module"}');
  // So many channels and events as here need more shared memory than the default.
  const zones = readFileSync(join(root, 'dist/sse/zones.conf'), 'utf8');
  write('/etc/nginx/sse/zones.conf', enlargeZones(zones));
  write('/etc/nginx/relay.js', 'export default { onEvent: (event) => event };\n');
  runQuietly(engine, ['exec', name, 'gcc', '-O2', '-o', '/bench/load', '/bench/load.c']);
}

export function hasDoorbell(): boolean {
  return existsSync(join(root, 'dist/sse/doorbell.conf'));
}

function execute(engine: Engine, name: string, command: string, seconds: number): Promise<string> {
  const args = ['exec', name, 'timeout', String(seconds), 'sh', '-c', command];
  return new Promise((resolve, reject) => {
    execFile(engine, args, { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (error) {
        reject(new Missing(`"${command}" failed in the container:\n${stdout}${stderr}`));
      } else {
        resolve(stdout);
      }
    });
  });
}

function write(engine: Engine, name: string, path: string, text: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'njs-sse-'));
  try {
    writeFileSync(join(folder, 'file'), text);
    runQuietly(engine, ['cp', join(folder, 'file'), `${name}:${path}`]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function enlargeZones(zones: string): string {
  return zones.replace(/(zone=sse_log):\w+/, '$1:256m').replace(/(zone=sse_count):\w+/, '$1:64m');
}
