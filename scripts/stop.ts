/** npm stop: removes the containers that `npm start -- --detach` left running. */
import { exists, MACHINE, NGINX, removeContainers } from './containers.ts';
import { Missing, main, say } from './run.ts';

await main(() => {
  const engines = (['docker', 'podman'] as const).filter((engine) =>
    [NGINX, MACHINE].some((name) => exists(engine, name)),
  );
  for (const engine of engines) {
    if (!removeContainers(engine)) {
      throw new Missing(`"${engine} rm --force ${MACHINE} ${NGINX}" failed`);
    }
  }
  say(engines.length > 0 ? 'the containers are removed' : 'nothing is running');
});
