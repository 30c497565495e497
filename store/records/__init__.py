"""The types of every value that crosses a process boundary or a restart."""
