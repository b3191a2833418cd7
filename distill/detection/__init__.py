"""Detection: detectors, what they learn from, and how they are judged."""
