"""What decides: search strategies as durable coroutines, and the spaces that they search. No torch, no I/O."""
