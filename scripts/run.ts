import { type SpawnSyncOptions, spawnSync } from 'node:child_process';

/** For failures that one line explains. */
export class Missing extends Error {}

/** Runs a command and shows its output. Throws if it fails. */
export function run(command: string, args: string[], options: SpawnSyncOptions = {}): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (status !== 0) {
    throw new Missing(`"${[command, ...args].join(' ')}" failed${error ? `: ${error.message}` : ''}`);
  }
}

/** Runs a command whose output only matters if it fails. */
export function runQuietly(command: string, args: string[], env: NodeJS.ProcessEnv = process.env): void {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env });
  if (status !== 0) {
    throw new Missing(`"${[command, ...args].join(' ')}" failed:\n${stdout ?? ''}${stderr ?? ''}`);
  }
}

/** True if a command succeeds; its output is not shown. */
export function succeeds(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore', timeout: 300000 }).status === 0;
}

/** What a command prints. */
export function output(command: string, ...args: string[]): string {
  return spawnSync(command, args, { encoding: 'utf8' }).stdout ?? '';
}

/** Ends the process with one line where something is missing, and with a stack trace where we are wrong. */
export async function main(body: () => Promise<void> | void): Promise<void> {
  try {
    await body();
  } catch (error) {
    console.error(error instanceof Missing ? `njs-sse: ${error.message}` : error);
    process.exit(1);
  }
}

export function say(text: string): void {
  console.log(`njs-sse: ${text}`);
}
