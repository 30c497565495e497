"""`coldframe devices`: what searches can run on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.commands.common import JsonOption, guarded, print_json, print_table

if TYPE_CHECKING:
    from orchestrator.devices import Device

HEADINGS = ["device", "model", "memory", "in use", "busy"]


@guarded
def devices(as_json: JsonOption = False) -> None:
    """List the processors that searches can run on.

    Memory and load are as the driver reports them.
    """
    from orchestrator.devices import cpu, gpus

    found = [cpu(), *gpus()]
    if as_json:
        print_json([_as_json(device) for device in found])
    else:
        print_table(HEADINGS, [_cells(device) for device in found])


def _as_json(device: Device) -> dict[str, Any]:
    return {
        "device": device.name,
        "kind": device.kind,
        "model": device.model,
        "memory_bytes": device.memory_bytes,
        "memory_used_bytes": device.memory_used_bytes,
        "utilisation": device.utilisation,
    }


def _cells(device: Device) -> list[str]:
    from orchestrator.wording import size

    memory = [device.memory_bytes, device.memory_used_bytes]
    shown = ["-" if count is None else size(count) for count in memory]
    return [device.name, device.model, *shown, "-" if device.utilisation is None else f"{device.utilisation:.0%}"]
