// Record pino, bunyan, winston and Elastic's ECS formats: one JSON object a line, every level, fields of every type.
import { freeze, record, require, scenario, sink, version } from './recording.mjs';

const { calls, calls_time_ns: TIME_NS } = scenario();
freeze(Number(BigInt(TIME_NS) / 1_000_000n));
Error.stackTraceLimit = 0; // the frames would name folders of this machine

const HOST = 'shop-1.example';
const NUMBERS = { trace: 1, debug: 5, info: 9, warning: 13, error: 17, fatal: 21 };

/** Return told.json of one logger; `levels` maps the scenario's levels to the logger's, `numbers` to OpenTelemetry's. */
function toldOf(name, form, levels, extra, numbers = {}) {
  return {
    producer: `${name} ${version(name)}`,
    kind: 'logs',
    subject: `logs.${name.replace(/^.*\//, '').split('-').join('_')}`,
    form,
    records: calls
      .filter((call) => levels[call.level])
      .map((call) => ({
        time_ns: TIME_NS,
        level: levels[call.level],
        severity_number: numbers[call.level] ?? NUMBERS[call.level],
        body: call.message,
        attributes: call.fields,
        ...(call.error && { error: { type: 'Error', message: call.error } }),
        ...extra,
      })),
  };
}

const SAME = { trace: 'trace', debug: 'debug', info: 'info', warning: 'warn', error: 'error', fatal: 'fatal' };

function recordPino() {
  const pino = require('pino');
  const out = sink();
  const logger = pino({ name: 'checkout', level: 'trace' }, out.stream);
  for (const { level, message, fields, error } of calls) {
    logger[SAME[level]](error ? { ...fields, err: new Error(error) } : fields, message);
  }
  const told = toldOf('pino', 'NDJSON: level 10–60, time in ms, msg', SAME, { logger: 'checkout', host: HOST });
  record('pino', 'lines.ndjson', out.bytes(), told);

  const iso = sink();
  const named = pino(
    { level: 'trace', base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    iso.stream,
  );
  for (const { level, message, fields, error } of calls) {
    named[SAME[level]](error ? { ...fields, err: new Error(error) } : fields, message);
  }
  record('pino', 'lines_iso.ndjson', iso.bytes(), toldOf('pino', 'NDJSON: level by name, time as ISO 8601, msg', SAME));
}

function recordBunyan() {
  const bunyan = require('bunyan');
  const out = sink();
  const logger = bunyan.createLogger({ name: 'checkout', level: 'trace', stream: out.stream, serializers: bunyan.stdSerializers });
  for (const { level, message, fields, error } of calls) {
    logger[SAME[level]](error ? { ...fields, err: new Error(error) } : fields, message);
  }
  const told = toldOf('bunyan', 'NDJSON: v 0, level 10–60, time as ISO 8601, msg', SAME, { logger: 'checkout', host: HOST });
  record('bunyan', 'lines.ndjson', out.bytes(), told);
}

function winstonLines(format, levels, logLevels) {
  const winston = require('winston');
  const out = sink();
  const logger = winston.createLogger({
    levels: logLevels,
    level: Object.keys(logLevels).at(-1),
    format,
    transports: [new winston.transports.Stream({ stream: out.stream, eol: '\n' })],
    defaultMeta: { service: 'checkout' },
  });
  for (const { level, message, fields, error } of calls) {
    if (levels[level]) logger.log(levels[level], message, error ? { ...fields, error: { name: 'Error', message: error } } : fields);
  }
  return out.bytes();
}

function recordWinston() {
  const winston = require('winston');
  const { combine, timestamp, json } = winston.format;
  const npm = { trace: 'silly', debug: 'verbose', info: 'info', warning: 'warn', error: 'error', fatal: 'http' };
  const format = combine(timestamp(), json());
  record(
    'winston',
    'npm_levels.ndjson',
    winstonLines(format, npm, winston.config.npm.levels),
    toldOf('winston', 'NDJSON: level, message, timestamp', npm, { service_name: 'checkout' }, { debug: 7, fatal: 8 }),
  );
  const syslog = { debug: 'debug', info: 'notice', warning: 'warning', error: 'alert', fatal: 'emerg' };
  record(
    'winston',
    'syslog_levels.ndjson',
    winstonLines(format, syslog, winston.config.syslog.levels),
    toldOf('winston', 'NDJSON: level, message, timestamp', syslog, { service_name: 'checkout' }, { info: 10, error: 19, fatal: 21 }),
  );
  const logstash = combine(timestamp(), winston.format.logstash());
  record(
    'winston',
    'logstash.ndjson',
    winstonLines(logstash, npm, winston.config.npm.levels),
    toldOf('winston', 'NDJSON: @fields, @message, @timestamp', npm, { service_name: 'checkout' }, { debug: 7, fatal: 8 }),
  );
}

function recordEcs() {
  const pino = require('pino');
  const { ecsFormat } = require('@elastic/ecs-pino-format');
  const out = sink();
  const logger = pino({ name: 'checkout', level: 'trace', ...ecsFormat({ serviceName: 'checkout', apmIntegration: false }) }, out.stream);
  for (const { level, message, fields, error } of calls) {
    logger[SAME[level]](error ? { ...fields, err: new Error(error) } : fields, message);
  }
  const extra = { service_name: 'checkout', logger: 'checkout', host: HOST };
  record('ecs', 'pino.ndjson', out.bytes(), toldOf('@elastic/ecs-pino-format', 'NDJSON: ECS, log.level dotted', SAME, extra));

  const winston = require('winston');
  const { ecsFormat: ecsWinston } = require('@elastic/ecs-winston-format');
  const npm = { trace: 'silly', debug: 'debug', info: 'info', warning: 'warn', error: 'error' };
  const lines = winstonLines(ecsWinston({ serviceName: 'checkout', apmIntegration: false }), npm, winston.config.npm.levels);
  const told = toldOf('@elastic/ecs-winston-format', 'NDJSON: ECS, log.level dotted', npm, { service_name: 'checkout' });
  record('ecs', 'winston.ndjson', lines, told);
}

recordPino();
recordBunyan();
recordWinston();
recordEcs();
