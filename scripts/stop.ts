/** npm stop: removes the container that `npm start -- --detach` left running. */
import { Missing, main, say, succeeds } from './run.ts';

const CONTAINER = 'njs-sse';

await main(() => {
  const engine = (['docker', 'podman'] as const).find((name) =>
    succeeds(name, 'container', 'inspect', CONTAINER),
  );
  if (!engine) {
    say('nothing is running');
    return;
  }
  if (!succeeds(engine, 'rm', '--force', CONTAINER)) {
    throw new Missing(`"${engine} rm --force ${CONTAINER}" failed`);
  }
  say('the container is removed');
});
