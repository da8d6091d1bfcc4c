// Tell OpenTelemetry's SDK for JavaScript the scenario's spans; works with every version since 1.0.
import { require, scenario } from './recording.mjs';

const { trace, ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, ...api } = require('@opentelemetry/api');

export const TOLD = scenario();
export const hrTime = (ns) => [Number(BigInt(ns) / 1_000_000_000n), Number(BigInt(ns) % 1_000_000_000n)];

/** Return a generator of the scenario's span ids, in order; the trace id comes from the remote parent. */
export function toldIds() {
  const ids = TOLD.spans[Symbol.iterator]();
  return { generateSpanId: () => ids.next().value.span_id, generateTraceId: () => TOLD.spans[0].trace_id };
}

export function emitSpans(tracer) {
  const open = new Map();
  for (const told of TOLD.spans) {
    const parent = open.get(told.parent_span_id) ?? trace.wrapSpanContext(remoteParent(told));
    const span = tracer.startSpan(
      told.name,
      {
        kind: SpanKind[told.kind],
        attributes: told.attributes,
        startTime: hrTime(told.start_ns),
        links: told.links.map((link) => ({
          context: { traceId: link.trace_id, spanId: link.span_id, traceFlags: TraceFlags.SAMPLED, isRemote: true },
          attributes: link.attributes,
        })),
      },
      trace.setSpan(ROOT_CONTEXT, parent),
    );
    for (const event of told.events) span.addEvent(event.name, event.attributes, hrTime(event.time_ns));
    if (told.status !== 'UNSET') {
      span.setStatus({ code: SpanStatusCode[told.status], message: told.status_message || undefined });
    }
    open.set(told.span_id, span);
  }
  for (const told of TOLD.spans) open.get(told.span_id).end(hrTime(told.end_ns));
}

function remoteParent(told) {
  return {
    traceId: told.trace_id,
    spanId: told.parent_span_id,
    traceFlags: TraceFlags.SAMPLED,
    isRemote: true,
    traceState: api.createTraceState?.(told.trace_state), // since API 1.1
  };
}
