"""What is read from NVML, with the answers of `pynvml` made up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from orchestrator.devices.nvml import Nvml
from orchestrator.devices.processor import Processor
from orchestrator.devices.provider import Reading
from orchestrator.errors import DeviceLost
from tests.orchestrator.drivers import GB, FakeNvml, refuse


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return FakeNvml(monkeypatch)


def test_a_look_tells_memory_load_heat_and_power(fake: FakeNvml) -> None:
    nvml = Nvml()
    (device,) = nvml.devices()
    fake.processes = [SimpleNamespace(pid=1, usedGpuMemory=15 * GB), SimpleNamespace(pid=2, usedGpuMemory=3 * GB)]
    reading = nvml.read(device, {1})
    assert (reading.memory_bytes, reading.memory_used_bytes, reading.others_bytes) == (80 * GB, 20 * GB, 3 * GB)
    assert (reading.utilisation, reading.temperature, reading.power_watts) == (0.25, 61, 312.5)
    assert (reading.uncorrected, reading.retired, reading.retiring) == (0, 3, False)
    assert (reading.throttled, reading.faults) == ((), ())
    nvml.read(device, {1})
    assert fake.opened == 1, "NVML is opened once"


def test_what_the_driver_refuses_is_left_out(fake: FakeNvml) -> None:
    nvml = Nvml()
    (device,) = nvml.devices()
    no = refuse(pynvml.NVML_ERROR_NOT_SUPPORTED)
    told = "UtilizationRates Temperature PowerUsage TotalEccErrors RemappedRows CurrentClocksThrottleReasons"
    asked = {f"nvmlDeviceGet{name}": no for name in [*told.split(), "RetiredPages", "ComputeRunningProcesses"]}
    fake.answer(**asked, nvmlEventSetCreate=no)
    reading = nvml.read(device, ())
    assert reading.memory_bytes == 80 * GB
    left_out = (reading.utilisation, reading.temperature, reading.power_watts, reading.uncorrected, reading.retired)
    assert left_out == (None,) * 5
    assert (reading.others_bytes, reading.throttled, reading.faults) == (None, (), ())


def test_older_gpus_tell_of_retired_pages(fake: FakeNvml) -> None:
    fake.answer(
        nvmlDeviceGetRemappedRows=refuse(pynvml.NVML_ERROR_NOT_SUPPORTED),
        nvmlDeviceGetRetiredPages=lambda handle, cause: [0xA000] * (1 + cause),
        nvmlDeviceGetRetiredPagesPendingStatus=lambda handle: 1,
    )
    nvml = Nvml()
    reading = nvml.read(nvml.devices()[0], ())
    assert (reading.retired, reading.retiring) == (3, True)


def test_in_a_container_nobody_knows_whose_memory_it_is(fake: FakeNvml) -> None:
    """Guards a list of processes that has none of ours, though ours are there: theirs would count as others'."""
    nvml = Nvml()
    (device,) = nvml.devices()
    fake.processes = [SimpleNamespace(pid=77, usedGpuMemory=3 * GB)]
    assert nvml.read(device, {1}).others_bytes is None
    fake.processes = [SimpleNamespace(pid=1, usedGpuMemory=None), SimpleNamespace(pid=2, usedGpuMemory=None)]
    assert nvml.read(device, {1}).others_bytes is None


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (pynvml.nvmlClocksThrottleReasonSwThermalSlowdown, ("too hot",)),
        (pynvml.nvmlClocksThrottleReasonGpuIdle, ()),
        (
            pynvml.nvmlClocksThrottleReasonSwPowerCap | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
            ("power limit", "much too hot"),
        ),
    ],
)
def test_why_it_is_slow_is_said_in_words(fake: FakeNvml, bits: int, words: tuple[str, ...]) -> None:
    fake.answer(nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: bits)
    nvml = Nvml()
    assert nvml.read(nvml.devices()[0], ()).throttled == words


def test_errors_of_the_gpu_are_faults_and_those_of_programs_are_not(fake: FakeNvml) -> None:
    nvml = Nvml()
    (device,) = nvml.devices()
    assert nvml.read(device, ()).faults == ()
    fake.xids.extend([13, 94, 43, 31])
    fake.uncorrected = 2
    assert nvml.read(device, ()).faults == ("Xid 94: a contained memory error", "2 uncorrected memory errors")
    assert nvml.read(device, ()).faults == (), "each is told once"


def test_memory_errors_from_before_the_daemon_are_no_faults(fake: FakeNvml) -> None:
    fake.uncorrected = 7
    nvml = Nvml()
    assert nvml.read(nvml.devices()[0], ()).faults == ()


def test_a_gpu_off_the_bus_is_lost_and_found_again_by_a_new_handle(fake: FakeNvml) -> None:
    nvml = Nvml()
    (device,) = nvml.devices()
    nvml.read(device, ())
    fake.xids.append(79)
    with pytest.raises(DeviceLost, match=r"cuda:0 is lost: Xid 79: it has fallen off the bus"):
        nvml.read(device, ())
    fake.answer(nvmlDeviceGetHandleByIndex=refuse(pynvml.NVML_ERROR_GPU_IS_LOST))
    with pytest.raises(DeviceLost, match="lost"):
        nvml.read(device, ())
    fake.answer(nvmlDeviceGetHandleByIndex=lambda index: "another handle")
    fake.answer(nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=100 * (handle == "another handle")))
    assert nvml.read(device, ()).utilisation == 1.0


@pytest.mark.parametrize(
    "code", [pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED, pynvml.NVML_ERROR_UNKNOWN]
)
def test_a_gpu_that_cannot_tell_its_memory_is_lost(fake: FakeNvml, code: int) -> None:
    nvml = Nvml()
    (device,) = nvml.devices()
    fake.answer(nvmlDeviceGetMemoryInfo=refuse(code))
    with pytest.raises(DeviceLost):
        nvml.read(device, ())


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetCount"])
def test_a_driver_that_fails_at_once_has_no_gpus(fake: FakeNvml, function: str) -> None:
    fake.answer(**{function: refuse(pynvml.NVML_ERROR_UNKNOWN)})
    assert Nvml().devices() == []


def test_a_part_of_a_gpu_is_asked_by_its_uuid(fake: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    part = "MIG-6f2d3a51-0000-0000-0000-000000000001"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", part)
    asked: list[str] = []

    def by_uuid(uuid: str) -> str:
        asked.append(uuid)
        return "handle"

    fake.answer(nvmlDeviceGetHandleByUUID=by_uuid)
    nvml = Nvml()
    (device,) = nvml.devices()
    assert nvml.read(device, ()).memory_bytes == 80 * GB
    assert set(asked) == {part}


def test_the_cpu_tells_memory_and_load_since_the_last_look(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\n")
    (tmp_path / "stat").write_text("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 1\n")
    processor = Processor(tmp_path)
    (device,) = processor.devices()
    first = processor.read(device, ())
    assert (first.memory_bytes, first.memory_used_bytes, first.utilisation) == (1000 << 10, 600 << 10, None)
    (tmp_path / "stat").write_text("cpu  150 0 125 750 175 0 0 0 0 0\n")
    assert processor.read(device, ()).utilisation == pytest.approx(75 / 200)


def test_a_machine_whose_files_cannot_be_read_has_a_cpu_all_the_same(tmp_path: Path) -> None:
    """Guards a daemon that ended when it had no file left to open, or in a container that hides /proc (scenario 34)."""
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 400 kB\n")
    processor = Processor(tmp_path)
    assert processor.read(processor.devices()[0], ()) == Reading()
    (tmp_path / "meminfo").unlink()
    assert processor.read(processor.devices()[0], ()) == Reading()


def test_this_machine_has_a_cpu_that_can_be_read() -> None:
    processor = Processor()
    reading = processor.read(processor.devices()[0], ())
    assert reading.memory_bytes is not None
    assert reading.memory_used_bytes is not None
    assert 0 < reading.memory_used_bytes < reading.memory_bytes
