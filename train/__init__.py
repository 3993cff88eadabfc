"""Training, evaluation and export; evaluation and its metrics need no torch."""
