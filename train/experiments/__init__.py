"""Experiments that show what a spatial transformer does: ``python -m train.experiments NAME --out DIR``."""
