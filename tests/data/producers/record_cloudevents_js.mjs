// Record the CloudEvents SDK for JavaScript: structured and binary with ce-* headers.
import { record, require, version } from './recording.mjs';

const { CloudEvent, HTTP } = require('cloudevents');

const TIME = '2026-01-01T00:00:00.123Z';
const EVENTS = {
  order: {
    id: 'A234-1234-1234',
    source: '/shop/orders',
    type: 'example.shop.order.placed',
    subject: 'orders/1001',
    datacontenttype: 'application/json',
    partitionkey: 'zoe',
    retries: 0,
    express: false,
    data: { orderId: 1001, total: 149.95, gift: false, customer: { name: 'Žofie 🛒' }, msg: 'order placed', level: 4 },
  },
  text: { id: 'T-1', source: '/notes', type: 'example.note', datacontenttype: 'text/plain', data: 'café closed: 50 % off' },
  bytes: {
    id: 'B-1',
    source: '/camera/3',
    type: 'example.frame',
    datacontenttype: 'application/octet-stream',
    data: new Uint8Array([0, 1, 254, 255, 104, 105, 0]),
  },
  json_in_text: { id: 'J-1', source: '/legacy', type: 'example.legacy', datacontenttype: 'application/json', data: '{"a":1}' },
};

for (const [name, event] of Object.entries(EVENTS)) {
  const cloudEvent = new CloudEvent({ ...event, time: TIME });
  const data = event.data instanceof Uint8Array ? { $bytes: Buffer.from(event.data).toString('base64') } : event.data;
  const told = (form) => ({
    producer: `cloudevents (JavaScript) ${version('cloudevents')}`,
    kind: 'events',
    subject: 'events.orders',
    form,
    records: [{ ...event, data, time_ns: '1767225600123000000' }],
  });
  const structured = HTTP.structured(cloudEvent);
  record('cloudevents_js', `${name}_structured.json`, structured.body, told('CloudEvents 1.0, structured JSON'), structured.headers);
  const binary = HTTP.binary(cloudEvent);
  const suffix = { text: 'txt', bytes: 'bin' }[name] ?? 'json';
  const headers = Object.fromEntries(Object.entries(binary.headers).map(([key, value]) => [key, String(value)]));
  const form = 'CloudEvents 1.0, binary: attributes in ce-* headers';
  record('cloudevents_js', `${name}_binary.${suffix}`, Buffer.from(binary.body), told(form), headers);
}
