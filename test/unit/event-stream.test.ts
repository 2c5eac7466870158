import { createParser as createStandardParser, type EventSourceMessage } from 'eventsource-parser';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createParser } from '../../src/event-stream/parse.ts';
import {
  fitsOneLine,
  type ServerEvent,
  serialize,
  serializeComment,
} from '../../src/event-stream/serialize.ts';

/** What a standard parser sees in an event stream. */
function standard(text: string): { events: EventSourceMessage[]; retries: number[]; comments: string[] } {
  const events: EventSourceMessage[] = [];
  const retries: number[] = [];
  const comments: string[] = [];
  const parser = createStandardParser({
    onEvent: (event) => events.push(event),
    onRetry: (retry) => retries.push(retry),
    onComment: (comment) => comments.push(comment),
  });
  parser.feed(text);
  return { events, retries, comments };
}

const line = fc.string({ unit: 'binary' }).filter((text) => fitsOneLine(text));
const text = fc
  .array(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\n', '\r', '\r\n', ':', 'data: ', '')))
  .map((parts) => parts.join(''));

describe('serialize', () => {
  test('writes the fields in a fixed order and leaves out what is not there', () => {
    expect(serialize({ data: 'x' })).toBe('data: x\n\n');
    expect(serialize({ id: '1', type: 'a', retry: 5, data: 'x\n\ny' })).toBe(
      'id: 1\nevent: a\nretry: 5\ndata: x\ndata: \ndata: y\n\n',
    );
    expect(serialize({ type: '', data: '' })).toBe('data: \n\n');
  });

  test('a standard parser gets back what was written, whatever it was', () => {
    fc.assert(
      fc.property(line, line, fc.nat(), text, (id, type, retry, data) => {
        const { events, retries, comments } = standard(serialize({ id, type, retry, data }));
        expect(comments).toEqual([]);
        expect(retries).toEqual([retry]);
        expect(events).toEqual([{ id, event: type || undefined, data: data.replace(/\r\n?/g, '\n') }]);
      }),
      { numRuns: 2000 },
    );
  });

  test('a comment stays a comment, whatever it says', () => {
    fc.assert(
      fc.property(text, (comment) => {
        const { events, comments } = standard(serializeComment(comment));
        expect(events).toEqual([]);
        expect(comments.join('\n')).toBe(comment.replace(/\r\n?/g, '\n'));
      }),
    );
  });
});

describe('createParser', () => {
  const UNLIMITED = { line: 1e9, event: 1e9 };

  function parse(chunks: Buffer[], limits = UNLIMITED) {
    const events: ServerEvent[] = [];
    const retries: number[] = [];
    const parser = createParser(
      (event) => events.push(event),
      (ms) => retries.push(ms),
      limits,
    );
    for (const chunk of chunks) {
      parser.feed(chunk);
    }
    return { events, retries, lastEventId: parser.lastEventId };
  }

  test.each([
    ['an event', 'data: x\n\n', [{ data: 'x' }]],
    ['all fields', 'id:1\nevent:e\nretry:3\ndata:d\n\n', [{ id: '1', type: 'e', retry: 3, data: 'd' }]],
    ['one blank that is no part of the value', 'data:  x \n\n', [{ data: ' x ' }]],
    ['a field without a colon', 'data\ndata\n\n', [{ data: '\n' }]],
    ['a retry that is no number', 'retry: 1s\nretry: -1\ndata: x\n\n', [{ data: 'x' }]],
    ['comments and unknown fields', ': c\nfoo: bar\nDATA: x\ndata: x\n\n', [{ data: 'x' }]],
    ['an id with NUL', 'id: 1\nid: a\0b\ndata: x\n\n', [{ id: '1', data: 'x' }]],
    ['one BOM', '\ufeffdata: x\n\n\ufeffdata: y\n\n', [{ data: 'x' }]],
    ['an event that has not ended', 'data: x\n', []],
    ['nothing', '', []],
  ])('reads %s', (_, stream, events) => {
    expect(parse([Buffer.from(stream)]).events).toEqual(events);
  });

  test('keeps the last id, also of a block without data', () => {
    expect(parse([Buffer.from('id: 1\ndata: x\n\nid: 2\n\nid: 3\n')])).toMatchObject({
      events: [{ id: '1', data: 'x' }],
      lastEventId: '2',
    });
    expect(parse([Buffer.from('id: 1\n\nid\n\n')]).lastEventId).toBe('');
  });

  test('tells of comments and of blocks without data where they stand', () => {
    const seen: unknown[] = [];
    const parser = createParser(
      ({ data }) => seen.push(data),
      () => {},
      UNLIMITED,
      (block) => seen.push(block),
      (line) => seen.push(line),
    );
    for (const byte of Buffer.from(': a\ndata: x\n:b\n\nid: 1\nretry: 2\n\n\n:\ndata: y\n\nid: 3\n')) {
      parser.feed(Buffer.from([byte]));
    }
    expect(seen).toEqual([': a', ':b', 'x', { id: '1', retry: 2, data: '' }, { data: '' }, ':', 'y']);
  });

  test('agrees with a standard parser, however a stream is cut', () => {
    const field = fc.constantFrom('data', 'event', 'id', 'retry', 'foo', '', 'data ', '\ufeff');
    const colon = fc.constantFrom(':', ': ', ':  ', '');
    const value = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 5 }),
      fc.constantFrom('', '1', '07', ':', 'ü', '🎉'),
    );
    const end = fc.constantFrom('\n', '\r', '\r\n', '\n\n', '\r\r', '\r\n\r\n');
    const line = fc.tuple(field, colon, value, end).map((parts) => parts.join(''));
    // The oracle holds back a CR at the very end, in case a LF follows; the comment resolves that.
    const stream = fc.array(line, { maxLength: 12 }).map((lines) => Buffer.from(`${lines.join('')}:\n`));
    const cuts = fc.array(fc.nat({ max: 200 }), { maxLength: 12 });
    fc.assert(
      fc.property(stream, cuts, (bytes, at) => {
        const { events, retries } = parse(cut(bytes, at));
        const expected = standard(bytes.toString());
        expect(retries).toEqual(expected.retries);
        expect(events.map(({ id, type, data }) => ({ id, event: type || undefined, data }))).toEqual(
          expected.events.map(({ id, event, data }) => ({ id, event, data })),
        );
      }),
      { numRuns: 100000 },
    );
  });

  test('refuses a line and an event over their limits, before they are complete', () => {
    const limits = { line: 10, event: 20 };
    expect(parse([Buffer.from('data:12345\n\n')], limits).events).toHaveLength(1);
    expect(() => parse([Buffer.from('data:123456\n')], limits)).toThrow(
      'the event stream has a longer line than 10',
    );
    expect(() => parse(cut(Buffer.from('data:123456'), [5, 8]), limits)).toThrow(
      'the event stream has a longer line than 10',
    );
    const lines = (count: number) => [Buffer.from('data:1234\n'.repeat(count))];
    expect(parse(lines(4), limits).events).toEqual([]);
    expect(() => parse(lines(5), limits)).toThrow('the event stream has a longer event than 20');
  });

  test('holds no reference to the bytes that it was given', () => {
    const events: ServerEvent[] = [];
    const parser = createParser(
      (event) => events.push(event),
      () => {},
      UNLIMITED,
    );
    const bytes = Buffer.from('data: ab');
    parser.feed(bytes);
    bytes.fill(120);
    parser.feed(Buffer.from('c\n\n'));
    expect(events).toEqual([{ data: 'abc' }]);
  });
});

function cut(bytes: Buffer, at: number[]): Buffer[] {
  const places = [0, ...at.filter((place) => place < bytes.length).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end));
}
