// biome-ignore lint/style/useNodejsImportProtocol: njs has a module of this name, too
import fs from 'fs';

const ENOUGH = 64;

/**
 * Whether a worker is shutting down: nginx says so in the title of the process just before it closes the sockets that it
 * listens at. Undefined where that cannot be found out: on Linux it can.
 * @param pid the worker's process id, or `self`.
 */
export function isShuttingDown(pid: string): boolean | undefined {
  try {
    const file = fs.openSync('/proc/' + pid + '/cmdline', 'r');
    const title = Buffer.alloc(ENOUGH);
    fs.readSync(file, title, 0, ENOUGH, 0);
    fs.closeSync(file);
    return title.indexOf('is shutting down') >= 0;
  } catch {
    return undefined;
  }
}
