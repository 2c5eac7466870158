// biome-ignore lint/style/useNodejsImportProtocol: njs has a module of this name, too
import fs from 'fs';

const title = Buffer.alloc(64);

/**
 * Whether this worker is shutting down: nginx says so in the title of the process before it closes its sockets. A datagram
 * that a timer sent then would go to whatever has that number now. Undefined where that cannot be found out: on Linux it can.
 */
export function isLeaving(): boolean | undefined {
  try {
    const file = fs.openSync('/proc/self/cmdline', 'r');
    const length = fs.readSync(file, title, 0, title.length, 0);
    fs.closeSync(file);
    return title.toString('utf8', 0, length).indexOf('is shutting down') >= 0;
  } catch {
    return undefined;
  }
}
