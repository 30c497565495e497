"""What can be searched: pure values."""
