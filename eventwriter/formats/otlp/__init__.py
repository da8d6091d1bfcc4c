"""Decoders for OpenTelemetry payloads, in protobuf and JSON."""
