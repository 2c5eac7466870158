import fc from 'fast-check';
import { expect, test } from 'vitest';
import { allEngines, startNginx } from '../nginx/nginx.ts';
import { bundleDriver } from './bundle.ts';
import { judge } from './oracle.ts';
import { type Scenario, scenarios, type Transcript } from './scenario.ts';

/** How many scenarios a request runs: njs frees what they take when it ends. */
const AT_ONCE = 50;
const RUNS = Number(process.env.MODEL_RUNS ?? 20000) / 10;
const SEED = Number(process.env.MODEL_SEED ?? 1);

test.each(allEngines)(
  'a channel does in the engine %s what it does in Node',
  { timeout: 60000 + RUNS * 50 },
  async (engine) => {
    const nginx = await startNginx({
      engine,
      workers: 1,
      server: `location /run {
      js_import model from /etc/nginx/model.js;
      js_content model.runAll;
      client_max_body_size 16m;
      client_body_buffer_size 16m;
    }`,
      files: { '/etc/nginx/model.js': await bundleDriver('handler.ts') },
    });
    await fc.assert(
      fc.asyncProperty(fc.array(scenarios, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (some) => {
        const transcripts = await runIn(nginx.url, some);
        expect(transcripts.flatMap(judge)).toEqual([]);
      }),
      { numRuns: RUNS / AT_ONCE, seed: SEED },
    );
    await nginx.stop();
  },
);

async function runIn(url: string, some: Scenario[]): Promise<Transcript[]> {
  const reply = await fetch(`${url}/run`, { method: 'POST', body: JSON.stringify(some) });
  expect(reply.status).toBe(200);
  return (await reply.json()) as Transcript[];
}
