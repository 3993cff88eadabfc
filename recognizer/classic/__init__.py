"""Recognition networks of the field, for weights that other projects trained; each keeps its own geometry."""
