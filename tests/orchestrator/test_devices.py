"""Which GPUs are used, and how a worker is pinned to one; NVML's answers are made up here."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from orchestrator.devices import cpu, gpus, slots
from orchestrator.errors import DeviceUnavailable
from tests.orchestrator.command import coldframe

PART = "MIG-6f2d3a51-0000-0000-0000-000000000001"
GB = 1 << 30


def not_supported(*_: object) -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


def by_uuid(uuid: str) -> str:
    if uuid != PART:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
    return uuid


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four GPUs of 80 GB, of which one is a quarter in use and half busy; a part of one has no utilisation."""
    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 4,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetHandleByUUID": by_uuid,
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=80 * GB, used=20 * GB),
        "nvmlDeviceGetUtilizationRates": lambda handle: not_supported() if handle == PART else SimpleNamespace(gpu=50),
        "nvmlDeviceGetName": lambda handle: "NVIDIA A100 80GB",
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("four_gpus")
def test_workers_take_the_gpus_in_turn_numbered_as_nvml_has_them() -> None:
    devices = slots("auto", 5)
    assert [device.name for device in devices] == ["cuda:0", "cuda:1", "cuda:2", "cuda:3", "cuda:0"]
    assert {device.kind for device in devices} == {"cuda"}
    assert devices[2].environment() == {"CUDA_VISIBLE_DEVICES": "2", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert (devices[2].memory_bytes, devices[2].memory_used_bytes, devices[2].utilisation) == (80 * GB, 20 * GB, 0.5)


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(
    ("listed", "used"),
    [
        ("2,3", ["2", "3"]),
        (" 3 , 1 ", ["3", "1"]),
        (f"{PART},0", [PART, "0"]),
        ("GPU-8932f937", ["GPU-8932f937"]),
        ("1,-1,2", ["1"]),
        ("1,7,2", ["1"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_gpus_that_the_user_hid_stay_hidden(monkeypatch: pytest.MonkeyPatch, listed: str, used: list[str]) -> None:
    """Guards a GPU that a cluster's scheduler gave to somebody else: the user's list was overwritten."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert [device.environment()["CUDA_VISIBLE_DEVICES"] for device in gpus()] == used
    assert [device.kind for device in slots("auto", 1)] == (["cuda"] if used else ["cpu"])


@pytest.mark.usefixtures("four_gpus")
def test_what_a_gpu_cannot_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards `coldframe devices` on a GPU that is cut in parts (MIG): NVML refuses to tell its utilisation."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"{PART},GPU-8932f937")
    part, shortened = gpus()
    assert (part.model, part.memory_bytes, part.utilisation) == ("NVIDIA A100 80GB", 80 * GB, None)
    assert (shortened.model, shortened.memory_bytes, shortened.utilisation) == ("", None, None)
    assert coldframe("devices", "--json").json[1]["utilisation"] is None
    assert PART in coldframe("devices").out


@pytest.mark.usefixtures("four_gpus")
def test_asking_for_a_gpu_where_all_are_hidden_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(DeviceUnavailable, match="CUDA_VISIBLE_DEVICES is ''"):
        slots("cuda", 1)


def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", not_supported)
    assert gpus() == []
    assert slots("auto", 2) == [cpu(), cpu()]


def test_the_cpu_hides_every_gpu() -> None:
    assert cpu().environment()["CUDA_VISIBLE_DEVICES"] == ""
