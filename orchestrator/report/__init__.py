"""The report: a folder with a page that opens by itself, its plots as pictures, and its tables as files."""

from orchestrator.report.folder import write

__all__ = ["write"]
