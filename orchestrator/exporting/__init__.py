"""A search's history for notebooks and TensorBoard: `coldframe export-history`."""
