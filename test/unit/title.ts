import fs from 'node:fs';
import { type MockInstance, vi } from 'vitest';

/** From now on every worker shuts down, by the title of its process, until the mock is restored. */
export function shutDown(): MockInstance {
  return vi
    .spyOn(fs, 'readSync')
    .mockImplementation((_, buffer) => (buffer as Buffer).write('nginx: worker process is shutting down'));
}
