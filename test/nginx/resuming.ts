import { open, type Stream } from './client.ts';
import type { Nginx } from './nginx.ts';

/** A client that resumes as an EventSource does. */
export function resuming(
  nginx: Nginx,
  channel: string,
  onData: (data: string) => void,
  location = '/events',
): { stop(): Promise<void>; streams(): number } {
  let streams = 0;
  let stopped = false;
  let current: Stream | undefined;
  const run = async () => {
    let id: string | undefined;
    while (!stopped) {
      const path = `${location}/${channel}${id === undefined ? '?history=all' : ''}`;
      current = await open(nginx, path, id === undefined ? {} : { 'Last-Event-ID': id }).catch(
        () => undefined,
      );
      streams++;
      if (stopped) {
        current?.leave();
      }
      let taken = 0;
      while (current && !(current.closed && taken === current.events.length)) {
        await current.until(({ events, closed }) => closed || events.length > taken);
        for (const event of current.events.slice(taken)) {
          onData(event.data);
          taken++;
        }
        id = current.lastEventId || id;
      }
    }
  };
  const done = run();
  return {
    streams: () => streams,
    stop: () => {
      stopped = true;
      current?.leave();
      return done;
    },
  };
}
