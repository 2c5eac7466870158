import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, open, send } from './client.ts';
import { allEngines, type Nginx, startNginx } from './nginx.ts';

const HANDLERS = `
import sse from 'sse/stream.js';

function all(r) {
    const stream = sse.openStream(r);
    stream.comment('hello\\nthere');
    stream.send({ data: 'a\\r\\nb' });
    stream.send({ event: 'object', id: 7, retry: 500, data: { a: [1, 'ü'], b: null } });
    stream.send({ data: 3 });
    stream.send({ event: 'nothing' });
    stream.close();
    r.log('after close: ' + stream.closed + ' ' + stream.send({ data: 'late' }) + ' ' + stream.comment('late'));
}
function wrong(r) {
    const stream = sse.openStream(r);
    const errors = [];
    [{ id: 'a\\nb' }, { event: 'a\\rb' }, { id: 'a\\0b' }, { retry: 1.5 }, { retry: '1s' }].forEach((event) => {
        try {
            stream.send(event);
        } catch (error) {
            errors.push(error.name + ': ' + error.message);
        }
    });
    stream.send({ data: errors });
    stream.close();
}
let opened = 0;
function quiet(r) {
    const stream = sse.openStream(r);
    if (stream.closed) {
        return;
    }
    r.log('quiet open');
    njs.on('exit', () => ngx.log(ngx.INFO, 'quiet gone'));
}
export default { all, wrong, quiet };
`;

describe.each(allEngines)('openStream (%s)', (engine) => {
  let nginx: Nginx;

  beforeAll(async () => {
    const handler = (name: string) => `location /${name} {
      include sse/stream.conf; js_import handlers from /etc/nginx/handlers.js; js_content handlers.${name};`;
    nginx = await startNginx({
      engine,
      server: `
        ${handler('all')} }
        ${handler('wrong')} }
        ${handler('quiet')} set $sse_heartbeat 100ms; set $sse_retry 9s; set $sse_origins *; }
        location /broken { include sse/stream.conf; set $sse_heartbeat x; js_import handlers from /etc/nginx/handlers.js; js_content handlers.quiet; }
        location /clock { include sse/stream.conf; js_import clock from examples/clock.js; js_content clock.clock; }`,
      files: { '/etc/nginx/handlers.js': HANDLERS },
    });
  });
  afterAll(() => nginx.stop(/\$sse_heartbeat is "x"/));

  test('sends events, objects as JSON, and comments; after close nothing', async () => {
    const stream = await open(nginx, '/all');
    await stream.until(({ ended }) => ended);
    expect(stream.text).toBe(
      'retry: 2000\n' +
        ': hello\n: there\n' +
        'data: a\ndata: b\n\n' +
        'id: 7\nevent: object\nretry: 500\ndata: {"a":[1,"ü"],"b":null}\n\n' +
        'data: 3\n\n' +
        'event: nothing\ndata: \n\n',
    );
    expect(await nginx.log()).toContain('after close: true false false');
  });

  test('refuses what an id, a type or a retry cannot hold', async () => {
    const stream = await open(nginx, '/wrong');
    const [event] = await stream.untilEvents(1);
    const line = 'TypeError: an id or an event type cannot have NUL, CR or LF';
    const retry = 'TypeError: retry has to be a whole number of milliseconds';
    expect(JSON.parse(event!.data)).toEqual([line, line, line, retry, retry]);
  });

  test('keeps a quiet stream alive, and ends it when the client has left', async () => {
    const stream = await open(nginx, '/quiet');
    await stream.until(({ text }) => text.startsWith('retry: 9000\n:\n:\n'));
    stream.leave();
    await eventually(
      () => nginx.log(),
      (log) => log.includes('quiet gone'),
    );
  });

  test('answers HEAD, preflight, other methods and a wrong setting without a stream', async () => {
    const before = (await nginx.log()).split('quiet open').length;
    expect(await send(nginx, '/quiet', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' });
    expect(
      await send(nginx, '/quiet', { method: 'OPTIONS', headers: { origin: 'https://a.example' } }),
    ).toMatchObject({ status: 204 });
    expect(await send(nginx, '/quiet', { method: 'DELETE' })).toMatchObject({ status: 405 });
    expect(await send(nginx, '/quiet', { headers: { accept: 'text/html' } })).toMatchObject({ status: 406 });
    expect(await send(nginx, '/broken')).toMatchObject({ status: 500 });
    expect((await nginx.log()).split('quiet open').length).toBe(before);
  });

  test('the clock of the examples ticks', async () => {
    const stream = await open(nginx, '/clock');
    const [first, second] = await stream.untilEvents(2);
    expect(first!.event).toBe('tick');
    expect(JSON.parse(second!.data).time > JSON.parse(first!.data).time).toBe(true);
    stream.leave();
  });
});
