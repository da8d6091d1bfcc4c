// Write recordings, and receive them: what every record_*.mjs here shares. The counterpart of recording.py.
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

export const FOLDER = path.dirname(fileURLToPath(import.meta.url));
if (!process.env.PRODUCERS_JS) throw new Error('set PRODUCERS_JS to the folder that holds node_modules');
const modules = fs.realpathSync(process.env.PRODUCERS_JS);

/** Load a package from the folder that PRODUCERS_JS names, not from beside the script. */
export const require = createRequire(`${modules}/`);

export function version(name) {
  return JSON.parse(fs.readFileSync(path.join(modules, 'node_modules', name, 'package.json'))).version;
}

/** Write one recording into the producer's folder; see recording.py. */
export function record(producer, name, payload, told, headers) {
  const folder = path.join(FOLDER, producer);
  fs.mkdirSync(folder, { recursive: true });
  const stem = name.replace(/\.[^.]+$/, '');
  fs.writeFileSync(path.join(folder, name), payload);
  writeJson(path.join(folder, `${stem}.told.json`), { origin: 'recorded', ...told });
  if (headers && Object.keys(headers).length) writeJson(path.join(folder, `${stem}.headers.json`), headers);
}

function writeJson(file, value) {
  fs.writeFileSync(file, `${JSON.stringify(value, null, 1)}\n`);
}

export function keptHeaders(headers) {
  const kept = ['content-type', 'content-encoding'];
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => kept.includes(name) || name.startsWith('ce-')),
  );
}

export function scenario() {
  return JSON.parse(fs.readFileSync(path.join(FOLDER, 'scenario.json')));
}

/** Turn `{"$bytes": …}` of the scenario into bytes. */
export function native(value) {
  if (Array.isArray(value)) return value.map(native);
  if (value === null || typeof value !== 'object') return value;
  if ('$bytes' in value) return new Uint8Array(Buffer.from(value.$bytes, 'base64'));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, native(item)]));
}

/** Serve HTTP on a free port of the loopback interface while `use(url, received)` runs; return what came. */
export async function capture(use) {
  const received = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      received.push({ path: request.url, headers: request.headers, body: Buffer.concat(chunks) });
      response.end('{}');
    });
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  await use(`http://127.0.0.1:${server.address().port}`, received);
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
  return received;
}

/** Compress a gzip payload again, so that a new recording differs only where its content does. */
export function gzipAgain(payload) {
  return zlib.gzipSync(zlib.gunzipSync(payload));
}

/** Stop the clock at `ms`, and hide which machine and process this is. */
export function freeze(ms) {
  const RealDate = Date;
  globalThis.Date = class extends RealDate {
    constructor(...args) {
      super(...(args.length ? args : [ms]));
    }
    static now() {
      return ms;
    }
  };
  os.hostname = () => 'shop-1.example';
  Object.defineProperty(process, 'pid', { value: 4242 });
}

/** Collect what is written to a Node stream. */
export function sink() {
  const chunks = [];
  const { Writable } = require('node:stream');
  const stream = new Writable({ write: (chunk, _, done) => (chunks.push(Buffer.from(chunk)), done()) });
  return { stream, bytes: () => Buffer.concat(chunks), lines: () => Buffer.concat(chunks).toString().split('\n').filter(Boolean) };
}
