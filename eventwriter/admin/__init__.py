"""One-shot tools for operators: doctor, verify, dead-letter replay, explain."""
