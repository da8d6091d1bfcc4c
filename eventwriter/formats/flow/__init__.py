"""Decoders for network flows: FlowMessage protobuf and OCSF objects."""
