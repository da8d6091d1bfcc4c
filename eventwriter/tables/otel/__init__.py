"""Row builders for the OpenTelemetry tables `logs`, `otel_metrics` and `otel_traces`."""
