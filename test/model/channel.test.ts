import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { bundleDriver } from './bundle.ts';
import { judge } from './oracle.ts';
import { type Scenario, scenarios, type Transcript } from './scenario.ts';

/** `MODEL_RUNS=1000000 MODEL_SEED=7 npm test -- test/model` looks for more. */
const RUNS = Number(process.env.MODEL_RUNS ?? 20000);
const SEED = Number(process.env.MODEL_SEED ?? 1);

let run: (scenario: Scenario) => Transcript;
const folder = mkdtempSync(join(tmpdir(), 'njs-sse-model-'));

beforeAll(async () => {
  vi.stubGlobal('njs', { engine: 'njs', on() {} });
  vi.stubGlobal('ngx', { WARN: 4, log() {}, fetch: () => Promise.reject(new Error('no such name')) });
  writeFileSync(join(folder, 'driver.mjs'), await bundleDriver());
  ({ run } = await import(pathToFileURL(join(folder, 'driver.mjs')).href));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

test('a channel: each accepted event reaches each client once, in order, or lies in a gap that was told', {
  timeout: 60000 + RUNS * 10,
}, () => {
  fc.assert(
    fc.property(scenarios, (scenario) => {
      expect(judge(run(scenario))).toEqual([]);
    }),
    { numRuns: RUNS, seed: SEED },
  );
});
