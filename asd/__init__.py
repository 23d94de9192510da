"""Classical anomalous sound detection for machine condition monitoring."""
