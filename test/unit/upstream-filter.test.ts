import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { NOT_SET } from '../../src/channel/name.ts';
import { type ServerEvent, serialize } from '../../src/event-stream/serialize.ts';
import { counts, log, upstreams } from './zones.ts';

const { default: upstream } = await import('../../src/upstream.ts');
const { append } = await import('../../src/channel/append.ts');
const { deleteChannel, findChannel, removeEvents } = await import('../../src/channel/channel.ts');
const { loadState } = await import('../../src/upstream/state.ts');

const LIMITS = { history: 1000, ttl: 60000 };

/** A connection to the upstream: what the two filters see of it. */
function connect(variables: Record<string, string> = {}) {
  const sent: string[] = [];
  const r = {
    status: 200,
    headersIn: { 'X-SSE-Number': '1' },
    headersOut: { 'Content-Type': 'text/event-stream' } as Record<string, string>,
    variables: { server_name: 'a', sse_channel: NOT_SET, sse_history: '1000', ...variables },
    sendBuffer: (text: string) => sent.push(text),
  } as unknown as NginxHTTPRequest;
  upstream.header(r);
  return {
    headers: r.headersOut,
    /** What the connection ended with; empty as long as it goes on. */
    sent,
    receive: (text: string) => upstream.body(r, Buffer.from(text), {} as NginxHTTPSendBufferOptions),
  };
}

const texts = () => [...log.entries].filter(([key]) => /^\w+-\d+$/.test(key)).map(([, text]) => text);
const dataOf = (text: string) => /^data: (.*)$/m.exec(text)?.[1] ?? '';

beforeEach(() => {
  vi.restoreAllMocks();
  for (const { entries } of [log, counts, upstreams]) {
    entries.clear();
  }
});

describe('the filter of an upstream', () => {
  test("appends events without ids after others' events, on every connection", () => {
    connect().receive('data: 1\n\n');
    append('a', { data: 'posted' }, LIMITS);
    connect().receive('data: 2\n\ndata: 3\n\n');
    expect(texts().map(dataOf)).toEqual(['1', 'posted', '2', '3']);
  });

  test("appends an event whose id another publisher's event has", () => {
    connect().receive('id: 1\ndata: 1\n\n');
    append('a', { id: '2', data: 'posted' }, LIMITS);
    connect().receive('id: 2\ndata: 2\n\n');
    expect(texts().map(dataOf)).toEqual(['1', 'posted', '2']);
  });

  test('does not append again what it appended before shared memory was full', () => {
    const fill = vi.spyOn(log, 'add');
    const connection = connect();
    connection.receive('id: 1\ndata: 1\n\n');
    fill.mockImplementationOnce(() => {
      throw Object.assign(new Error('no room'), { name: 'SharedMemoryError' });
    });
    connection.receive('id: 2\ndata: 2\n\nid: 3\ndata: 3\n\n');
    expect(texts().map(dataOf)).toEqual(['1', '']);
    expect(connection.sent).toEqual([
      'sends more than shared memory holds: enlarge the zones in sse/zones.conf',
    ]);
    expect(loadState('a').lastEventId).toBe('1');
    connect().receive('id: 2\ndata: 2\n\nid: 3\ndata: 3\n\n');
    expect(texts().map(dataOf)).toEqual(['1', '', '2', '3']);
  });

  test('appends nothing that it cannot save', () => {
    const connection = connect();
    connection.receive('id: 1\ndata: 1\n\n');
    const save = vi.spyOn(upstreams, 'set').mockImplementation(() => {
      throw Object.assign(new Error('no room'), { name: 'SharedMemoryError' });
    });
    connection.receive('id: 2\ndata: 2\n\n');
    expect(connection.sent[0]).toContain('the zone sse_upstream is full');
    save.mockRestore();
    connect().receive('id: 2\ndata: 2\n\n');
    expect(texts().map(dataOf)).toEqual(['1', '2']);
  });

  test('goes on in a channel that was deleted meanwhile', () => {
    const connection = connect();
    connection.receive('id: 1\ndata: 1\n\n');
    const epoch = findChannel('a')!;
    const { first, last } = deleteChannel(epoch);
    removeEvents(epoch, first, last);
    connection.receive('id: 2\ndata: 2\n\n');
    connect().receive('id: 3\ndata: 3\n\n');
    expect(texts().map(dataOf)).toEqual(['2', '3']);
  });

  test.each([
    [{ sse_channel: 'a,b' }, '$sse_channel, or else server_name, is "a,b", but has to be one channel'],
    [{ sse_history: 'many' }, '$sse_history is "many"'],
  ])('tells what is wrong with %j', (variables, problem) => {
    const connection = connect(variables as Record<string, string>);
    expect(connection.headers['X-SSE-Problem']).toContain(`cannot be followed: ${problem}`);
    connection.receive('data: 1\n\n');
    expect(connection.sent).toEqual(['']);
    expect(texts()).toEqual([]);
  });
});

describe('a worker that is killed', () => {
  const KILLED = new Error('killed');

  /** From the `after`th write to shared memory on, nothing happens any more. */
  function killAfter(after: number, before: () => void): () => void {
    let writes = 0;
    let isOurs = true;
    const zones: [object, string][] = [
      [log, 'add'],
      [log, 'delete'],
      [counts, 'incr'],
      [counts, 'set'],
      [counts, 'add'],
      [upstreams, 'set'],
    ];
    const mocks = zones.map(([zone, method]) => {
      const methods = zone as Record<string, (...args: unknown[]) => unknown>;
      const real = methods[method]!.bind(zone);
      return vi.spyOn(methods, method).mockImplementation((...args) => {
        if (!isOurs) {
          return real(...args);
        }
        isOurs = false;
        before();
        isOurs = true;
        if (writes++ >= after) {
          throw KILLED;
        }
        return real(...args);
      });
    });
    return () => {
      for (const mock of mocks) {
        mock.mockRestore();
      }
    };
  }

  const script = fc.record({
    /** Of each event, whether it has an id. */
    events: fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }),
    chunks: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 12, maxLength: 12 }),
    kills: fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 6 }),
    /** Before which writes somebody else publishes. */
    others: fc.array(fc.nat({ max: 60 }), { maxLength: 8 }),
  });

  test('at any write to shared memory: every event with an id is in the log once, in order', () => {
    fc.assert(
      fc.property(script, ({ events, chunks, kills, others }) => {
        for (const { entries } of [log, counts, upstreams]) {
          entries.clear();
        }
        const all: ServerEvent[] = events.map((hasId, i) => ({
          id: hasId ? String(i + 1) : undefined,
          data: `u${i + 1}`,
        }));
        let writes = 0;
        let published = 0;
        const publishOther = () => {
          if (others.includes(writes++)) {
            published++;
            append('a', { id: published % 2 ? String(published) : undefined, data: `o${published}` }, LIMITS);
          }
        };
        let live = 0;
        for (const after of [...kills, Number.POSITIVE_INFINITY]) {
          const revive = killAfter(after, publishOther);
          try {
            const resumeId = loadState('a').lastEventId;
            const { receive } = connect();
            // What is replayed are the events with ids that came before; all after that are live.
            const next = all.filter(
              ({ id }, i) => i >= live || (id !== undefined && Number(id) > Number(resumeId || 0)),
            );
            let from = 0;
            for (const size of [...chunks, all.length]) {
              const chunk = next.slice(from, from + size);
              live = Math.max(live, ...chunk.map((event) => all.indexOf(event) + 1));
              from += chunk.length;
              receive(chunk.map(serialize).join(''));
            }
          } catch {
          } finally {
            revive();
          }
        }
        const found = texts().map(dataOf);
        const ours = found.filter((data) => data.startsWith('u'));
        const withId = all.filter(({ id }) => id !== undefined).map(({ data }) => data);
        expect(ours.filter((data) => withId.includes(data))).toEqual(withId);
        expect(new Set(ours).size).toBe(ours.length);
        expect(found.filter((data) => data.startsWith('o'))).toHaveLength(published);
      }),
      { numRuns: 2000 },
    );
  });
});
