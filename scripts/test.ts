/** npm test: builds everything, brings what the tests need, and runs them all. Arguments go to vitest. */
import { spawnSync } from 'node:child_process';
import { buildAll } from './build.ts';
import { findChromium } from './chromium.ts';
import { engineEnvironment, findEngine } from './engine.ts';
import { buildImage, CURRENT, OLDEST } from './image.ts';
import { root } from './paths.ts';
import { main, output, run, say, succeeds } from './run.ts';

const LABEL = 'njs-sse.test';

await main(async () => {
  say('checking types, lint and format');
  run('npm', ['run', '--silent', 'check'], { cwd: root });
  say('compiling src/ for njs');
  await buildAll();

  const engine = await findEngine();
  const image = buildImage(engine, 'njs-sse:test', CURRENT);
  const oldest = buildImage(engine, 'njs-sse:test-oldest', OLDEST);
  const chromium = findChromium();

  const label = `${LABEL}=${process.pid}`;
  const { status } = spawnSync('vitest', ['run', ...process.argv.slice(2)], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      ...(await engineEnvironment(engine)),
      // The reaper is an image to be pulled; without it we remove what a crashed test left.
      ...(image.official ? {} : { TESTCONTAINERS_RYUK_DISABLED: 'true' }),
      // Two containers may have the same port, one for IPv4 and one for IPv6, and a browser tries both for "localhost".
      ...(/^(tcp|ssh|http)/.test(process.env.DOCKER_HOST ?? '')
        ? {}
        : { TESTCONTAINERS_HOST_OVERRIDE: '127.0.0.1' }),
      NJS_SSE_ENGINE: engine,
      NJS_SSE_IMAGE: image.name,
      NJS_SSE_OLDEST_IMAGE: oldest.name,
      NJS_SSE_TEST_LABEL: label,
      CHROMIUM: chromium,
    },
  });
  const left = output(engine, 'ps', '--all', '--quiet', '--filter', `label=${label}`)
    .split('\n')
    .filter(Boolean);
  if (left.length > 0) {
    succeeds(engine, 'rm', '--force', '--volumes', ...left);
  }
  process.exitCode = status ?? 1;
});
