import { existsSync, readFileSync } from 'node:fs';
import { runQuietly, say, succeeds } from './run.ts';

/** True where we may install packages: Debian, Ubuntu and their kin, as root. */
export function canInstall(): boolean {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  return /^ID(_LIKE)?=.*(debian|ubuntu)/m.test(release) && process.getuid?.() === 0;
}

let updated = false;

/** Installs packages of the distribution. */
export function install(...packages: string[]): void {
  say(`installing ${packages.join(', ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  if (!updated) {
    runQuietly('apt-get', ['-qq', 'update'], env);
    updated = true;
  }
  runQuietly('apt-get', ['-qq', 'install', '-y', '--no-install-recommends', ...packages], env);
}

export function isPackage(name: string): boolean {
  return succeeds('sh', '-c', `apt-cache show ${name} | grep -q ^Package`);
}
