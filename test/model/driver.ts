/**
 * Runs a scenario against src/channel/, with shared dictionaries and a clock that are part of the scenario (zones.ts). It is bundled
 * for the njs engine as well as for QuickJS and Node, so it is written in what all of them have. What it tells is judged by oracle.ts.
 */
import { append } from '../../src/channel/append.ts';
import {
  deleteChannel,
  findChannel,
  firstPlace,
  lastPlace,
  removeEvents,
} from '../../src/channel/channel.ts';
import { type Reader, startEvent } from '../../src/channel/cursor.ts';
import { closeReader, openReader, read } from '../../src/channel/read.ts';
import type { Accepted, Item, Scenario, Step, Transcript } from './scenario.ts';
import { clearZones, clock, counts, hook, log } from './zones.ts';

/** Also in scenario.ts, which cannot be in the bundle. */
const OWN_POSITION = '=-';
const filler = new Array(70001).join('x');

interface Client {
  reader: Reader | undefined;
  channels: string[];
  lastEventId: string;
  /** What was sent since the last call of `receive`, of which a cut may take the end away. */
  sent: string;
}

export function run(scenario: Scenario): Transcript {
  const accepted: Accepted[] = [];
  const items: Item[] = [];
  const clients: Client[] = [];
  let published = 0;
  clock.now = 60000000;
  hook.beforeAdd = undefined;
  log.free = 1000000;
  clearZones();

  runAll(scenario.steps);
  finish();
  return { accepted, items };

  function runAll(steps: Step[]): void {
    for (let i = 0; i < steps.length; i++) {
      runOne(steps[i]!);
    }
  }

  function runOne(step: Step): void {
    const channel = step.channel;
    const epoch = findChannel(channel);
    switch (step.op) {
      case 'publish':
        for (let i = 0; i < step.count; i++) {
          publish(channel, step.id, step.ttl, step.size);
        }
        break;
      case 'slow':
        // Another worker's publisher is interrupted between taking a place and filling it.
        items.push({ kind: 'hole', client: -1, channel });
        hook.beforeAdd = () => runAll(step.steps || []);
        publish(channel, step.id);
        hook.beforeAdd = undefined;
        break;
      case 'abandon':
        if (epoch) {
          counts.incr(`${epoch}.last`, 1);
          items.push({ kind: 'hole', client: -1, channel });
        }
        break;
      case 'full':
        log.free = 0;
        publish(channel, step.id);
        log.free = 1000000;
        break;
      case 'fragmented':
        // There seems to be room, but there is not.
        hook.beforeAdd = () => {
          throw new Error('no memory in shared dict');
        };
        items.push({ kind: 'hole', client: -1, channel });
        publish(channel, step.id);
        hook.beforeAdd = undefined;
        break;
      case 'wait':
        clock.now += step.count;
        break;
      case 'delete':
        if (epoch) {
          const events = deleteChannel(epoch);
          removeEvents(epoch, events.first, events.last);
        }
        break;
      case 'restart':
        clearZones();
        for (let i = 0; i < clients.length; i++) {
          cut(i, 1);
        }
        break;
      case 'open':
        open(step.client, step.channels || [channel], step.count);
        break;
      case 'look':
        look(step.client);
        break;
      case 'cut':
        cut(step.client, step.part || 0);
        break;
      case 'end':
        end(step.client);
        break;
    }
  }

  function publish(channel: string, given: string | undefined, life?: number, size?: number): void {
    const number = published++;
    const isPosition = given !== undefined && given.indexOf(OWN_POSITION) === 0;
    const epoch = findChannel(channel);
    const id = isPosition ? epoch && `${epoch}-${given.slice(OWN_POSITION.length)}` : given;
    const ttl = life || scenario.ttl;
    const begun = clock.now;
    try {
      const data = `${number} ${filler.slice(0, size || 0)}`;
      const at = append(channel, { id, data }, { history: scenario.history, ttl });
      accepted.push({
        number,
        channel,
        epoch: at.epoch,
        place: at.place,
        id: at.id === id ? id : undefined,
        at: begun,
        ttl,
      });
      items.push({ kind: 'accepted', client: -1, number });
    } catch (error) {
      if (!/shared dict/.test((error as Error).message)) {
        throw error;
      }
    }
  }

  /** A client opens a stream: its first one, one with other channels, or one to resume. */
  function open(index: number, channels: string[], history: number): void {
    cut(index, 1);
    const client = clients[index] || { reader: undefined, channels, lastEventId: '', sent: '' };
    clients[index] = client;
    client.channels = channels;
    const lastEventId = client.lastEventId;
    const reader = openReader(channels, lastEventId || undefined, history, clock.now);
    client.reader = reader;
    client.sent = reader.starts ? startEvent(reader, true) : '';
    items.push({
      kind: 'open',
      client: index,
      lastEventId,
      history,
      at: clock.now,
      cursors: reader.cursors.map((cursor) => ({
        channel: cursor.channel,
        epoch: cursor.epoch,
        place: lastEventId === '' ? startOf(cursor.epoch, history) : lastPlace(cursor.epoch) || 0,
      })),
    });
    client.sent += read(reader, clock.now);
    // As the subscriber does.
    reader.portion = PORTION;
  }

  /** After which place the history begins: of the events that there are at this moment, so many of the newest. */
  function startOf(epoch: string, history: number): number {
    const first = firstPlace(epoch);
    const last = lastPlace(epoch) || 0;
    let newest = last;
    // Behind so many empty places nothing is looked for: it would be a channel whose events live for very different times.
    while (newest >= first && newest > last - NEAR && !log.get(`${epoch}-${newest}`)) {
      newest--;
    }
    let place = newest;
    for (let at = newest - 1; at >= Math.max(first, newest - history + 1) && place - at <= NEAR; at--) {
      place = log.get(`${epoch}-${at}`) ? at : place;
    }
    return history === 0 || newest < first || newest <= last - NEAR ? last : place - 1;
  }

  function look(index: number): void {
    const client = clients[index];
    if (client?.reader) {
      client.sent += read(client.reader, clock.now);
      if (client.reader.ended) {
        cut(index, 1);
      } else {
        receive(index);
      }
    }
  }

  /** As the subscriber ends a stream. */
  function end(index: number): void {
    const client = clients[index];
    if (client?.reader) {
      look(index);
    }
    if (client?.reader) {
      client.sent += startEvent(client.reader, false);
      cut(index, 1);
    }
  }

  /** The connection is gone, and with it what was not received yet, but for a part of it. */
  function cut(index: number, part: number): void {
    const client = clients[index];
    if (client?.reader) {
      closeReader(client.reader);
      client.reader = undefined;
      client.sent = client.sent.slice(0, Math.floor(client.sent.length * part));
      receive(index);
      client.sent = '';
    }
  }

  /** As most clients do, drops blocks without data, with their ids. */
  function receive(index: number): void {
    const client = clients[index]!;
    const blocks = client.sent.split('\n\n');
    client.sent = blocks[blocks.length - 1]!;
    for (let i = 0; i < blocks.length - 1; i++) {
      receiveBlock(index, client, blocks[i]!.split('\n'));
    }
  }

  function receiveBlock(index: number, client: Client, lines: string[]): void {
    const fields: Record<string, string> = {};
    for (let i = 0; i < lines.length; i++) {
      const colon = lines[i]!.indexOf(': ');
      fields[lines[i]!.slice(0, colon)] = lines[i]!.slice(colon + 2);
    }
    if (fields.data === undefined) {
      return;
    }
    client.lastEventId = fields.id === undefined ? client.lastEventId : fields.id;
    if (fields.event === 'sse-gap') {
      const gap = JSON.parse(fields.data);
      items.push({ kind: 'gap', client: index, channel: gap.channel, missed: gap.missed });
    } else if (fields.event === 'sse-start') {
      items.push({ kind: 'start', client: index });
    } else {
      items.push({ kind: 'event', client: index, number: Number.parseInt(fields.data, 10) });
    }
  }

  /** In the end all clients are there, and have all the time that they need. */
  function finish(): void {
    for (let i = 0; i < clients.length; i++) {
      const client = clients[i];
      if (client && !client.reader) {
        open(i, client.channels, 0);
      }
    }
    for (let turn = 0; turn < TURNS; turn++) {
      if (turn === TURNS - 8) {
        publishLast();
      }
      for (let i = 0; i < clients.length; i++) {
        look(i);
        if (clients[i] && !clients[i]!.reader) {
          open(i, clients[i]!.channels, 0);
        }
      }
      // Long enough for what is looked for, in the first turns.
      clock.now += turn < 20 ? 5000 : 60;
    }
  }

  function publishLast(): void {
    for (let i = 0; i < scenario.channels.length; i++) {
      publish(scenario.channels[i]!, undefined);
    }
  }
}

const TURNS = 60;
const PORTION = 65536;
const NEAR = 16;
