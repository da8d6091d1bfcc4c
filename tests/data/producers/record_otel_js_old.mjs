// Record version 1.0 / 0.27 of OpenTelemetry's SDK for JavaScript, of January 2022: `instrumentationLibrarySpans|Metrics`.
import { TOLD, emitSpans, toldIds } from './otel_spans.mjs';
import { capture, keptHeaders, record, require, version } from './recording.mjs';

const { Resource } = require('@opentelemetry/resources');
const { BasicTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { MeterProvider } = require('@opentelemetry/sdk-metrics-base');
const RESOURCE = new Resource(TOLD.resource);

function toldOf(kind, name, form, records) {
  return {
    producer: `${name} (JavaScript) ${version(name)}`,
    kind,
    subject: kind.replace('_', '.'),
    form,
    resource: TOLD.resource,
    scope: TOLD.scope,
    records,
  };
}

async function recordTraces(encoding, form, name) {
  const module = `@opentelemetry/exporter-trace-otlp-${encoding}`;
  const { OTLPTraceExporter } = require(module);
  const [request] = await capture(async (url, received) => {
    const provider = new BasicTracerProvider({ resource: RESOURCE, idGenerator: toldIds() });
    provider.addSpanProcessor(new BatchSpanProcessor(new OTLPTraceExporter({ url })));
    emitSpans(provider.getTracer(TOLD.scope.name, TOLD.scope.version));
    await provider.shutdown();
    while (!received.length) await new Promise((tick) => setTimeout(tick, 20));
  });
  const told = toldOf('otel_traces', module, `${form}, pre-2022 instrumentation library`, TOLD.spans);
  told.not_sent = ['trace_state'];
  record('otel_js_old', name, request.body, told, keptHeaders(request.headers));
}

async function recordMetrics() {
  const name = '@opentelemetry/exporter-metrics-otlp-http';
  const { OTLPMetricExporter } = require(name);
  const told = TOLD.metrics.filter((metric) => ['counter', 'up_down_counter', 'histogram'].includes(metric.instrument));
  const [request] = await capture(async (url, received) => {
    const exporter = new OTLPMetricExporter({ url });
    const provider = new MeterProvider({ resource: RESOURCE, exporter, interval: 1e8 });
    const meter = provider.getMeter(TOLD.scope.name, TOLD.scope.version);
    for (const { instrument: kind, name: metric, unit, description, bounds, measured } of told) {
      const options = { unit, description, boundaries: bounds };
      const make = { counter: 'createCounter', up_down_counter: 'createUpDownCounter', histogram: 'createHistogram' }[kind];
      const instrument = meter[make](metric, options);
      for (const { value, attributes } of measured) (instrument.add ?? instrument.record).call(instrument, value, attributes);
    }
    await provider.shutdown();
    while (!received.length) await new Promise((tick) => setTimeout(tick, 20));
  });
  record('otel_js_old', 'metrics.json', request.body, {
    ...toldOf('otel_metrics', name, 'OTLP/JSON, pre-2022 instrumentation library', told),
    start_ns: null,
    time_ns: null,
    note: 'The SDK takes both times from its own clock, which cannot be set.',
  }, keptHeaders(request.headers));
}

await recordTraces('http', 'OTLP/JSON', 'traces.json');
await recordTraces('proto', 'OTLP protobuf', 'traces_protobuf.bin');
await recordMetrics();
