"""Any JSON object into any existing table: the row builder is derived from the real columns."""
