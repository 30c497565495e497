"""The daemon's HTTP API, version 1. docs/api.md has every route."""
