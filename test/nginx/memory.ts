import type { Nginx } from './nginx.ts';

/** Of all processes of nginx, without what they share, in KB. */
export async function privateMemory(nginx: Nginx): Promise<number> {
  const lines = await nginx.sh('grep -h RssAnon /proc/[0-9]*/status');
  return (lines.match(/[0-9]+/g) ?? []).map(Number).reduce((sum, kilobytes) => sum + kilobytes, 0);
}
