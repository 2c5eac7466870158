/** Bundles every entry point in src/ into one script in dist/sse/, next to the include files for nginx. */
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BuildOptions, build } from 'esbuild';
import { minify } from 'terser';
import { root } from './paths.ts';

/** These have to run on both engines, so the build fails on syntax that the njs engine lacks. */
const BOTH_ENGINES = ['doorbell-ring', 'health', 'publisher', 'stream', 'subscriber'];
const SUBSCRIBER_LIMIT = 16 * 1024;
/** Names of properties that no script outside the subscriber's bundle, nor nginx, ever sees. */
const SUBSCRIBER_OWN =
  /^(cursors|lastKey|starts|portion|settled|settledAt|patience|graced|triedAt|cutOff|phase|searched|place|epoch|upTo|since|closed|account|backlog|window|peers|spread|ended)$/;

/** What the njs engine has beyond ES5 in njs 0.8.9, Debian 13's; esbuild lowers the rest or, where it cannot, refuses to build. */
const NJS_ENGINE = {
  arrow: true,
  'async-await': true,
  'const-and-let': true,
  'exponent-operator': true,
  'object-extensions': true,
  'rest-argument': true,
  'template-literal': true,
  'regexp-named-capture-groups': true,
};

export const FOR_BOTH = { target: 'es5', supported: NJS_ENGINE };

const AS_MODULE = {
  write: false,
  bundle: true,
  external: ['fs'],
  format: 'esm',
  charset: 'utf8',
  // Every byte of source costs each open connection about seven under qjs. Lines stay: nginx's error log has their numbers.
  minifySyntax: true,
  minifyWhitespace: true,
  lineLimit: 80,
  logLevel: 'error',
} satisfies BuildOptions;

export async function buildAll(): Promise<void> {
  const out = join(root, 'dist/sse');
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  mkdirSync(out, { recursive: true });

  const roles = readdirSync(join(root, 'src'))
    .filter((file) => file.endsWith('.ts'))
    .map((file) => file.slice(0, -3));
  for (const role of roles) {
    const both = BOTH_ENGINES.includes(role);
    const { outputFiles } = await build({
      entryPoints: [join(root, 'src', `${role}.ts`)],
      outfile: join(out, `${role}.js`),
      ...AS_MODULE,
      ...(both ? FOR_BOTH : { target: 'es2023' }),
    });
    const script = role === 'subscriber' ? await withShortNames(outputFiles[0]!.text) : outputFiles[0]!.text;
    writeFileSync(join(out, `${role}.js`), script);
    const size = Buffer.byteLength(script);
    console.log(`dist/sse/${role}.js  ${(size / 1024).toFixed(1)} KB  ${both ? 'qjs and njs' : 'qjs'}`);
    if (role === 'subscriber' && size > SUBSCRIBER_LIMIT) {
      throw new Error(
        `the subscriber's bundle is over ${SUBSCRIBER_LIMIT} bytes, and each connection holds a copy`,
      );
    }
  }
  cpSync(join(root, 'nginx/sse'), out, { recursive: true });
}

/**
 * Names stay, for nginx's error log, but the subscriber's: they cost each of its connections 23 KB under qjs, and under njs
 * each that a function reaches for 8 to 24 bytes, so values stand in place of constants' names, where they are no longer.
 * terser may not move functions as well (`unused`): the njs engine takes what they reach for as it is at that moment.
 */
async function withShortNames(script: string): Promise<string> {
  const { code } = await minify(script, {
    module: true,
    mangle: false,
    compress: { defaults: false, toplevel: true, evaluate: true, reduce_vars: true, unused: false },
  });
  const { outputFiles } = await build({
    stdin: { contents: code! },
    ...AS_MODULE,
    ...FOR_BOTH,
    minifyIdentifiers: true,
    mangleProps: SUBSCRIBER_OWN,
  });
  return outputFiles[0]!.text;
}

if (import.meta.main) {
  await buildAll();
}
