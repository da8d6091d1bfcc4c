"""
Words of the Open Cybersecurity Schema Framework.

Source: OCSF schema 1.3.0, "Base Event", attribute `severity_id`.
"""

SEVERITIES: tuple[str, ...] = ("Unknown", "Informational", "Low", "Medium", "High", "Critical", "Fatal")
"""Names by `severity_id`."""
