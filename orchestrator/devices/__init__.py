"""What jobs run on: which processors there are, how they fare, and which of them are in service."""

from orchestrator.devices.found import Device, cpu, gpus, slots

__all__ = ["Device", "cpu", "gpus", "slots"]
