import { expect, test } from 'vitest';
import { createMoving } from '../../src/doorbell/moving.ts';

test('a question that nobody repeats is forgotten, also where none can ever be moved', () => {
  const kept = new Set<string>();
  const looked: string[] = [];
  const moving = createMoving<{ name: string }>({
    isPossible: () => false,
    hasRoom: () => true,
    isKept: ({ name }) => kept.has(looked[looked.push(name) - 1]!),
    move: () => {},
    mayGoOn: () => true,
  });
  const add = (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      moving.add({ name: String(i) });
      moving.move();
    }
  };
  kept.add('7');
  add(0, 1000);
  expect(looked).toEqual([]);
  add(1000, 1001);
  expect(looked).toHaveLength(1000);
  add(1001, 2000);
  expect(looked.slice(1000)).toEqual(['7', ...Array.from({ length: 999 }, (_, i) => String(1000 + i))]);
});
