import { execFileSync } from 'node:child_process';

/** A certificate of the test's own, which is its own authority. The image under test has openssl. */
export function makeCertificate(host: string): { key: string; cert: string } {
  const names = `-subj /CN=${host} -addext subjectAltName=DNS:${host}`;
  const command = `openssl req -x509 -newkey rsa:2048 -nodes -days 2 ${names} -keyout /tmp/key -out /tmp/cert 2>/tmp/log`;
  const engine = process.env.NJS_SSE_ENGINE ?? 'docker';
  const pem = execFileSync(
    engine,
    ['run', '--rm', process.env.NJS_SSE_IMAGE!, 'sh', '-c', `${command} && cat /tmp/key /tmp/cert`],
    { encoding: 'utf8' },
  );
  const at = pem.indexOf('-----BEGIN CERTIFICATE');
  return { key: pem.slice(0, at), cert: pem.slice(at) };
}
