import { describe, expect, test } from 'vitest';
import { type ServerEvent, serialize, serializeFields } from '../../src/event-stream/serialize.ts';
import { createUnsaved, type Entry } from '../../src/upstream/unsaved.ts';

function entry(key: string, event: ServerEvent): Entry {
  return { key, text: event.id ? serialize(event) : `id: ${key}\n${serializeFields(event)}` };
}

describe('createUnsaved', () => {
  const unsaved = entry('e-7', { id: '7', data: 'seven' });
  const mine = { id: '7', data: 'seven' };

  test('the event that was appended but not saved is known once', () => {
    const { wasAppended, isExpected } = createUnsaved([unsaved], '6');
    expect(isExpected()).toBe(true);
    expect(wasAppended(mine)).toBe(true);
    expect(isExpected()).toBe(false);
    expect(wasAppended(mine)).toBe(false);
  });

  test('nothing is known where nothing was appended', () => {
    const { wasAppended, isExpected } = createUnsaved([], '6');
    expect(isExpected()).toBe(false);
    expect(wasAppended(mine)).toBe(false);
  });

  test.each([
    ['another text', { id: '7', data: 'siete' }],
    ['another type', { id: '7', type: 'number', data: 'seven' }],
    ['another reconnection time', { id: '7', data: 'seven', retry: 5 }],
  ])("an event with another's id and %s is new", (_, event) => {
    expect(createUnsaved([unsaved], '6').wasAppended(event)).toBe(false);
  });

  test('an event after one with a new id is new', () => {
    const { wasAppended } = createUnsaved([unsaved], '6');
    expect(wasAppended({ id: '8', data: 'eight' })).toBe(false);
    expect(wasAppended(mine)).toBe(false);
  });

  test("an event without an id is known by the log's own id", () => {
    const entries = [entry('e-7', { id: 'e-6', data: 'x' }), entry('e-8', { data: 'x' })];
    expect(createUnsaved(entries, '6').wasAppended({ data: 'x' })).toBe(true);
    expect(createUnsaved(entries.slice(0, 1), '6').wasAppended({ data: 'x' })).toBe(false);
  });

  test('an event without an id is live where nothing can be resumed', () => {
    expect(createUnsaved([entry('e-1', { data: 'x' })], '').wasAppended({ data: 'x' })).toBe(false);
  });

  test('a greeting without an id may come before the event that is known', () => {
    const { wasAppended } = createUnsaved([unsaved], '6');
    expect(wasAppended({ type: 'welcome', data: '' })).toBe(false);
    expect(wasAppended(mine)).toBe(true);
  });

  test('an upstream without ids is compared for a while only', () => {
    const { wasAppended, isExpected } = createUnsaved([unsaved], '6');
    for (let i = 0; i < 100; i++) {
      expect(isExpected()).toBe(true);
      wasAppended({ data: 'x' });
    }
    expect(isExpected()).toBe(false);
  });
});
