import { batches, counts, ids, log, requireZones } from './channel/zones.ts';
import { guarded } from './nginx/answer.ts';

/**
 * js_content: answers 204 when it has locked each shared dictionary for writing. A worker that was killed inside one leaves
 * it locked for ever: then this request never ends, and only a restart helps, because a reload keeps the memory.
 * Deleting a key that does not exist takes the lock, and works in a full zone.
 */
function check(r: NginxHTTPRequest): void {
  guarded(r, () => {
    requireZones();
    counts.delete('');
    log.delete('');
    ids.delete('');
    batches?.delete('');
    ngx.shared.sse_upstream?.delete('');
    ngx.shared.sse_secret?.delete('');
    r.return(204);
  });
}

export default { check };
