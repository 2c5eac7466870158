import { describe, expect, test } from 'vitest';
import { eventually, publish, send } from './client.ts';
import { allEngines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

const HEALTH = 'location = /healthy { include sse/health.conf; }';

describe.each(allEngines)('health (%s)', (engine) => {
  function start(zones?: string): Promise<Nginx> {
    return startNginx({
      engine,
      server: `set $sse_history 100000; ${PUBLISH_AND_SUBSCRIBE} ${HEALTH}`,
      files: zones === undefined ? {} : { '/etc/nginx/sse/zones.conf': zones },
    });
  }

  test('is 204', async () => {
    const nginx = await start();
    for (const method of ['GET', 'HEAD']) {
      expect(await send(nginx, '/healthy', { method })).toMatchObject({ status: 204, text: '' });
    }
    await nginx.stop();
  });

  test('is 204 where zones are full, and where those that may be missing are', async () => {
    const nginx = await start(
      'js_shared_dict_zone zone=sse_log:64k timeout=1h; js_shared_dict_zone zone=sse_count:64k type=number timeout=1h;',
    );
    await eventually(
      () => publish(nginx, 'full', 'x'.repeat(3000)).catch((error: Error) => error.message),
      (answer) => String(answer).includes('507'),
    );
    expect((await send(nginx, '/healthy')).status).toBe(204);
    await nginx.stop(/no memory in js shared zone "sse_log"/);
  });

  test('is 500 without the zones that all need', async () => {
    const nginx = await start('');
    expect((await send(nginx, '/healthy')).status).toBe(500);
    await nginx.stop(/put "include sse\/http.conf;" into http/);
  });
});
