"""Labelled pictures as people have them: each module reads one form and yields rows for ``data.build``."""
