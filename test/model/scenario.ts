/** What happens to some channels and their clients, by chance. */
import fc from 'fast-check';

export interface Step {
  op:
    | 'publish'
    | 'slow'
    | 'abandon'
    | 'full'
    | 'fragmented'
    | 'wait'
    | 'delete'
    | 'restart'
    | 'open'
    | 'look'
    | 'cut'
    | 'end';
  channel: string;
  client: number;
  /** Events, milliseconds, or how much history a first visitor asks for. */
  count: number;
  /** The publisher's own. */
  id?: string | undefined;
  /** What a stream is of. */
  channels?: string[] | undefined;
  /** Of what was sent last, how much is received. */
  part?: number | undefined;
  /** Of what is published, in milliseconds; the scenario's if undefined. */
  ttl?: number | undefined;
  /** How many characters it has beside its number. */
  size?: number | undefined;
  /** What happens while a publisher is interrupted. */
  steps?: Step[] | undefined;
}

export interface Scenario {
  channels: string[];
  history: number;
  ttl: number;
  steps: Step[];
}

export interface Accepted {
  /** Its data. */
  number: number;
  channel: string;
  epoch: string;
  place: number;
  id: string | undefined;
  /** When it was begun to be published. */
  at: number;
  ttl: number;
}

export type Item =
  | {
      kind: 'open';
      client: number;
      lastEventId: string;
      history: number;
      at: number;
      /** After which place the client is to receive events, unless it knows better. */
      cursors: { channel: string; epoch: string; place: number }[];
    }
  /** An id without an event. */
  | { kind: 'start'; client: number }
  | { kind: 'event'; client: number; number: number }
  | { kind: 'accepted'; client: -1; number: number }
  | { kind: 'gap'; client: number; channel: string; missed: number | null }
  /** A place was taken for an event that was never accepted. */
  | { kind: 'hole'; client: -1; channel: string };

/** What was accepted, and what each client saw, in the order of time. */
export interface Transcript {
  accepted: Accepted[];
  items: Item[];
}

/** What such an id begins with, in place of the epoch. */
export const OWN_POSITION = '=-';

const CHANNELS = ['a', 'b', 'c'];
const CLIENTS = 3;

const channel = fc.constantFrom(...CHANNELS);
const client = fc.nat({ max: CLIENTS - 1 });
const channels = fc.oneof(
  { weight: 3, arbitrary: channel.map((name) => [name]) },
  { weight: 2, arbitrary: fc.subarray(CHANNELS, { minLength: 2 }) },
);
/** Some are used again and again. */
const id = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constantFrom('x', 'y') },
  { weight: 2, arbitrary: fc.nat({ max: 500 }).map((number) => `own ${number}`) },
  // A position in the channel's own log.
  { weight: 1, arbitrary: fc.nat({ max: 20 }).map((place) => `${OWN_POSITION}${place}`) },
);
const size = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.constantFrom(3000, 20000, 40000, 70000) },
);
const ttl = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constantFrom(1000, 5000, 3600000, 7200000) },
);
const time = fc.oneof(
  { weight: 4, arbitrary: fc.nat({ max: 120 }) },
  { weight: 2, arbitrary: fc.nat({ max: 2500 }) },
  { weight: 1, arbitrary: fc.constantFrom(5000, 60000, 1800000, 3600000, 7200000) },
);

const none = fc.constant(undefined);

function step(op: Step['op'], fields: Partial<Record<keyof Step, fc.Arbitrary<unknown>>> = {}) {
  return fc.record({
    op: fc.constant(op),
    channel,
    client,
    count: fc.constant(0),
    id: none,
    ...fields,
  }) as fc.Arbitrary<Step>;
}

const publish = step('publish', { count: fc.oneof(fc.constant(1), fc.nat({ max: 12 })), id, size, ttl });
const look = step('look');
const wait = step('wait', { count: time });
const open = step('open', {
  channels,
  count: fc.oneof(fc.constant(0), fc.constantFrom(1, 3, 1e9)),
});
const brief = fc.oneof(
  publish,
  look,
  wait,
  step('cut', { part: fc.double({ min: 0, max: 1, noNaN: true }) }),
  open,
);

const anyStep = fc.oneof(
  { weight: 8, arbitrary: publish },
  { weight: 10, arbitrary: look },
  { weight: 6, arbitrary: wait },
  { weight: 5, arbitrary: open },
  { weight: 3, arbitrary: step('cut', { part: fc.double({ min: 0, max: 1, noNaN: true }) }) },
  { weight: 2, arbitrary: step('end') },
  { weight: 2, arbitrary: step('slow', { id, steps: fc.array(brief, { maxLength: 4 }) }) },
  { weight: 1, arbitrary: step('abandon') },
  { weight: 1, arbitrary: step('full', { id }) },
  { weight: 1, arbitrary: step('fragmented', { id }) },
  { weight: 1, arbitrary: step('delete') },
  { weight: 1, arbitrary: step('restart') },
);

export const scenarios: fc.Arbitrary<Scenario> = fc.record({
  channels: fc.constant(CHANNELS),
  history: fc.constantFrom(1, 3, 10, 100),
  ttl: fc.constantFrom(1000, 3000, 3600000, 7200000),
  steps: fc.array(anyStep, { minLength: 5, maxLength: 60, size: 'max' }),
});
