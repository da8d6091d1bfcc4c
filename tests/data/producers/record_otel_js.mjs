// Record OpenTelemetry's SDK for JavaScript: OTLP protobuf, OTLP/JSON, Zipkin JSON and the console exporter.
import { TOLD, emitSpans, hrTime, toldIds } from './otel_spans.mjs';
import { capture, gzipAgain, keptHeaders, native, record, require, version } from './recording.mjs';

const { trace, ROOT_CONTEXT } = require('@opentelemetry/api');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const sdk = require('@opentelemetry/sdk-trace-base');
const metricsSdk = require('@opentelemetry/sdk-metrics');
const logsSdk = require('@opentelemetry/sdk-logs');

const RESOURCE = resourceFromAttributes(TOLD.resource);
const PRODUCER = `@opentelemetry/sdk-trace-base, sdk-metrics, sdk-logs (JavaScript) ${version('@opentelemetry/sdk-trace-base')}`;

async function sendSpans(exporter) {
  const provider = new sdk.BasicTracerProvider({
    resource: RESOURCE,
    idGenerator: toldIds(),
    spanProcessors: [new sdk.BatchSpanProcessor(exporter)],
  });
  emitSpans(provider.getTracer(TOLD.scope.name, TOLD.scope.version));
  await provider.forceFlush();
  await provider.shutdown();
}

async function sendMetrics(exporter) {
  const realNow = Date.now;
  const { AggregationType } = metricsSdk;
  const views = TOLD.metrics.flatMap((metric) => {
    if (metric.bounds) {
      const aggregation = { type: AggregationType.EXPLICIT_BUCKET_HISTOGRAM, options: { boundaries: metric.bounds } };
      return [{ instrumentName: metric.name, aggregation }];
    }
    const exponential = metric.instrument === 'exponential_histogram';
    const aggregation = { type: AggregationType.EXPONENTIAL_HISTOGRAM, options: { maxSize: 20 } };
    return exponential ? [{ instrumentName: metric.name, aggregation }] : [];
  });
  const reader = new metricsSdk.PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1e8 });
  const provider = new metricsSdk.MeterProvider({ resource: RESOURCE, views, readers: [reader] });
  const meter = provider.getMeter(TOLD.scope.name, TOLD.scope.version);
  Date.now = () => Number(BigInt(TOLD.metrics_start_ns) / 1_000_000n);
  for (const metric of TOLD.metrics) measure(meter, metric);
  Date.now = () => Number(BigInt(TOLD.metrics_time_ns) / 1_000_000n);
  await reader.forceFlush();
  Date.now = realNow;
  exporter.export = (_, done) => done({ code: 0 }); // shutdown would send everything again
  await provider.shutdown();
}

function measure(meter, metric) {
  const { instrument: kind, name, unit, description } = metric;
  const make = {
    counter: meter.createCounter,
    up_down_counter: meter.createUpDownCounter,
    histogram: meter.createHistogram,
    exponential_histogram: meter.createHistogram,
    gauge: meter.createGauge,
  }[kind];
  const instrument = make.call(meter, name, { unit, description });
  for (const { value, attributes } of metric.measured) (instrument.add ?? instrument.record).call(instrument, value, attributes);
}

async function sendLogs(processor) {
  const provider = new logsSdk.LoggerProvider({ resource: RESOURCE, processors: [processor] });
  const realNow = Date.now;
  Date.now = () => Number(BigInt(TOLD.logs[0].observed_ns) / 1_000_000n); // the time of a record without one
  const logger = provider.getLogger(TOLD.scope.name, TOLD.scope.version);
  for (const told of TOLD.logs) {
    const span = told.trace_id && { traceId: told.trace_id, spanId: told.span_id, traceFlags: told.trace_flags };
    logger.emit({
      timestamp: told.time_ns ? hrTime(told.time_ns) : undefined,
      observedTimestamp: hrTime(told.observed_ns),
      severityText: told.severity_text || undefined,
      severityNumber: told.severity_number || undefined,
      body: native(told.body),
      attributes: native(told.attributes),
      eventName: told.event_name,
      context: span ? trace.setSpanContext(ROOT_CONTEXT, span) : ROOT_CONTEXT,
    });
  }
  Date.now = realNow;
  await provider.forceFlush();
  await provider.shutdown();
}

function toldOf(signal, form) {
  const told = {
    producer: PRODUCER,
    kind: signal === 'logs' ? 'logs' : `otel_${signal}`,
    subject: { traces: 'otel.traces', metrics: 'otel.metrics', logs: 'logs.otlp' }[signal],
    form,
    resource: TOLD.resource,
    scope: TOLD.scope,
    records: {
      traces: TOLD.spans,
      metrics: TOLD.metrics,
      logs: TOLD.logs.map((log) => ({ ...log, time_ns: log.time_ns || log.observed_ns })), // as this SDK fills it in
    }[signal],
  };
  return signal === 'metrics' ? { ...told, start_ns: TOLD.metrics_start_ns, time_ns: TOLD.metrics_time_ns } : told;
}

async function recordOtlp(encoding, folder, form, suffix) {
  const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${encoding}`);
  const { OTLPMetricExporter } = require(`@opentelemetry/exporter-metrics-otlp-${encoding}`);
  const { OTLPLogExporter } = require(`@opentelemetry/exporter-logs-otlp-${encoding}`);
  for (const compression of ['none', 'gzip']) {
    const received = await capture(async (url) => {
      await sendSpans(new OTLPTraceExporter({ url: `${url}/traces`, compression }));
      await sendMetrics(new OTLPMetricExporter({ url: `${url}/metrics`, compression }));
      await sendLogs(new logsSdk.BatchLogRecordProcessor({ exporter: new OTLPLogExporter({ url: `${url}/logs`, compression }) }));
    });
    for (const request of received) {
      const signal = request.path.slice(1);
      const zipped = compression === 'gzip';
      record(
        folder,
        zipped ? `${signal}_gzip.bin` : `${signal}${suffix}`,
        zipped ? gzipAgain(request.body) : request.body,
        toldOf(signal, zipped ? `${form}, gzip` : form),
        keptHeaders(request.headers),
      );
    }
  }
}

async function recordConsole() {
  const lines = [];
  const dir = console.dir;
  console.dir = (value, options) => lines.push(require('node:util').inspect(value, { ...options, colors: false }));
  await sendSpans(new sdk.ConsoleSpanExporter());
  record('otel_js_console', 'spans.txt', `${lines.splice(0).join('\n')}\n`, {
    ...toldOf('traces', 'console exporter: JavaScript objects as console.dir prints them, no JSON'),
    expect: 'dead letter',
  });
  await sendLogs(new logsSdk.SimpleLogRecordProcessor({ exporter: new logsSdk.ConsoleLogRecordExporter() }));
  record('otel_js_console', 'logs.txt', `${lines.splice(0).join('\n')}\n`, {
    ...toldOf('logs', 'console exporter: JavaScript objects as console.dir prints them, no JSON'),
    expect: 'dead letter',
  });
  console.dir = dir;
}

async function recordZipkin() {
  const { ZipkinExporter } = require('@opentelemetry/exporter-zipkin');
  const [request] = await capture((url) => sendSpans(new ZipkinExporter({ url: `${url}/api/v2/spans` })));
  const told = toldOf('traces', 'Zipkin v2 JSON array');
  told.producer = `@opentelemetry/exporter-zipkin (JavaScript) ${version('@opentelemetry/exporter-zipkin')}`;
  told.not_sent = ['scope', 'trace_state', 'links', 'attributes of events', 'types of attributes'];
  record('zipkin', 'otel_js.json', request.body, told, keptHeaders(request.headers));
}

await recordOtlp('proto', 'otel_js', 'OTLP protobuf', '.bin');
await recordOtlp('http', 'otel_js_json', 'OTLP/JSON', '.json');
await recordConsole();
await recordZipkin();
