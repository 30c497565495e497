"""The commands, one module each. Modules import at their top only what `coldframe --help` may load."""
