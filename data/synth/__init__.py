"""Synthetic words whose geometry is known from the rendering."""
