/**
 * Judges what clients saw: each accepted event of each channel once, in the order of the log, or in a gap that was told. It knows the
 * log only by what publishers were answered.
 */
import type { Accepted, Item, Transcript } from './scenario.ts';

/** In the order of a channel's lives, and of places in each. */
interface Place {
  life: number;
  place: number;
}

interface Client {
  /** How far it is in each channel. */
  read: Map<string, Place>;
  /** Gaps that were told since the last event of the channel. */
  gaps: Map<string, number | null>;
  /** The channels of which its Last-Event-ID tells. */
  known: string[];
  /** Of the stream that is open. */
  channels: string[];
  /** Channels in which the id that it came with was used several times, and may be taken for another one. */
  mayRepeat: Set<string>;
  maySkip: Set<string>;
}

/** Returns what is wrong; empty if nothing is. */
export function judge({ accepted, items }: Transcript): string[] {
  const wrong: string[] = [];
  const lives = new Map<string, string[]>();
  const holes = new Set<string>();
  const clients = new Map<number, Client>();
  const byNumber = new Map(accepted.map((event) => [event.number, event]));

  for (const item of items) {
    if (item.kind === 'accepted') {
      const { channel, epoch } = byNumber.get(item.number)!;
      lifeOf(channel, epoch);
    } else if (item.kind === 'open') {
      for (const { channel, epoch } of item.cursors) {
        lifeOf(channel, epoch);
      }
    }
  }
  const logs = Map.groupBy(accepted, ({ channel }) => channel);
  for (const log of logs.values()) {
    log.sort((a, b) => compare(placeOf(a), placeOf(b)));
  }
  for (const item of items) {
    judgeItem(item);
  }
  for (const [number, client] of clients) {
    for (const channel of client.channels) {
      const last = logs.get(channel)?.at(-1);
      if (last && compare(client.read.get(channel)!, placeOf(last)) < 0) {
        wrong.push(`client ${number} never received event ${last.number} of ${channel}`);
      }
    }
  }
  return wrong;

  function judgeItem(item: Item): void {
    const client = clients.get(item.client);
    switch (item.kind) {
      case 'hole':
        holes.add(item.channel);
        break;
      case 'open':
        opened(item);
        break;
      case 'start':
        client!.known = client!.channels;
        break;
      case 'gap':
        client!.known = client!.channels;
        if (client!.gaps.get(item.channel) !== null) {
          const told = client!.gaps.get(item.channel) || 0;
          client!.gaps.set(item.channel, item.missed === null ? null : told + item.missed);
        }
        break;
      case 'event':
        client!.known = client!.channels;
        received(item.client, client!, byNumber.get(item.number));
        break;
    }
  }

  function opened({ client: number, lastEventId, history, at, cursors }: Item & { kind: 'open' }): void {
    const before = lastEventId === '' ? undefined : clients.get(number);
    const client: Client = {
      read: new Map(before?.read),
      gaps: new Map(before?.gaps),
      known: before?.known ?? [],
      channels: cursors.map(({ channel }) => channel),
      mayRepeat: new Set(before?.mayRepeat),
      maySkip: new Set(before?.maySkip),
    };
    clients.set(number, client);
    for (const { channel, epoch, place } of cursors) {
      const isKnown = client.known.includes(channel);
      const position = client.read.get(channel);
      const same = (logs.get(channel) ?? []).filter(({ id }) => id !== undefined && id === lastEventId);
      if (!isKnown) {
        client.read.set(channel, { life: lifeOf(channel, epoch), place });
        client.gaps.delete(channel);
        // What another worker is just filling belongs to the history as well as to what comes next.
        if (same.length > 0 || history > 0) {
          client.mayRepeat.add(channel);
        }
        // Nothing tells an id from the same one in another channel.
        if (same.length > 0) {
          client.maySkip.add(channel);
        }
      } else if (same.length > 1) {
        client.mayRepeat.add(channel);
        const newest = same.findLast((event) => compare(placeOf(event), position!) <= 0);
        // An id can only be told from one that is used again for as long as the log remembers it.
        if (!newest || newest.epoch !== epoch || at - newest.at >= newest.ttl) {
          client.maySkip.add(channel);
        }
      }
    }
  }

  function received(number: number, client: Client, event: Accepted | undefined): void {
    if (!event) {
      wrong.push(`client ${number} received an event that was not accepted`);
      return;
    }
    const { channel } = event;
    const place = placeOf(event);
    const position = client.read.get(channel)!;
    const gap = client.gaps.get(channel);
    const missed = logs
      .get(channel)!
      .filter((other) => compare(placeOf(other), position) > 0 && compare(placeOf(other), place) < 0);
    if (compare(place, position) <= 0 && gap !== null && !client.mayRepeat.has(channel)) {
      wrong.push(`client ${number} received event ${event.number} of ${channel} again, or too late`);
    }
    if (missed.length > 0 && gap === undefined && !client.maySkip.has(channel)) {
      wrong.push(
        `client ${number} missed ${missed.map((other) => other.number)} of ${channel} before ${event.number} and was told nothing`,
      );
    }
    if (
      typeof gap === 'number' &&
      gap !== missed.length &&
      !holes.has(channel) &&
      !client.mayRepeat.has(channel)
    ) {
      wrong.push(
        `client ${number} was told of ${gap} that it missed in ${channel}, which are ${missed.length}`,
      );
    }
    client.gaps.delete(channel);
    client.mayRepeat.delete(channel);
    client.maySkip.delete(channel);
    client.read.set(channel, place);
  }

  function lifeOf(channel: string, epoch: string): number {
    const known = lives.get(channel) ?? [];
    lives.set(channel, known);
    return known.includes(epoch) ? known.indexOf(epoch) : known.push(epoch) - 1;
  }

  function placeOf({ channel, epoch, place }: Accepted): Place {
    return { life: lifeOf(channel, epoch), place };
  }
}

function compare(a: Place, b: Place): number {
  return a.life - b.life || a.place - b.place;
}
