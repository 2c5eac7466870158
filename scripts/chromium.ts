import { canInstall, install } from './debian.ts';
import { Missing, output } from './run.ts';

/** The path of a Chromium, which is installed where it is missing and that is possible. */
export function findChromium(): string {
  return find() ?? installed();
}

function find(): string | undefined {
  if (process.env.CHROMIUM) {
    return process.env.CHROMIUM;
  }
  for (const name of ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']) {
    const path = output('sh', '-c', `command -v ${name}`).trim();
    if (path) {
      return path;
    }
  }
  return undefined;
}

function installed(): string {
  if (canInstall()) {
    install('chromium');
  }
  const path = find();
  if (!path) {
    throw new Missing('the browser test needs Chromium: install it, or set CHROMIUM to its path');
  }
  return path;
}
