import { run } from './driver.ts';
import type { Scenario } from './scenario.ts';

/** js_content: runs the scenarios of the body. */
function runAll(r: NginxHTTPRequest): void {
  const scenarios = JSON.parse(r.requestText!) as Scenario[];
  r.return(200, JSON.stringify(scenarios.map(run)));
}

export default { runAll };
