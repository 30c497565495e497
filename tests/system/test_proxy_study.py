"""A proxy study as a person runs it: killed and taken up again, raised, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from store.records.events import JobSucceeded
from store.records.studies import Study
from tests.system import harness

STUDY = """
name = "study"
seed = 7

[strategy]
name = "proxy-study"
networks = {networks}
channels = ["c4", 16]
epochs = [1, 2]
schedule = ["own", "shared"]
bootstrap = 200

[space]
name = "cell"

[trainer]
name = "scripted"
epoch_seconds = {epoch_seconds}
noise = 0.1

[data]
name = "digits"

[proxy]
resolution = {resolution}

[reference]
proxy = {{ channels = 36, resolution = 8 }}
epochs = 3

[resources]
workers = 2
"""


def spec(folder: Path, *, networks: int = 6, epoch_seconds: float = 0.0, resolution: int = 8) -> Path:
    path = folder / f"study-{networks}-{epoch_seconds}-{resolution}.toml"
    path.write_text(STUDY.format(networks=networks, epoch_seconds=epoch_seconds, resolution=resolution))
    return path


def study(result: dict[str, Any]) -> Study:
    return Study.model_validate(result["study"])


def test_a_study_that_is_killed_and_then_raised_is_the_one_that_was_asked_for_at_once(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    ended = harness.run(spec(tmp_path, networks=8), whole)
    # for each network: the original setting, and three cosines for each number of channels, of which two are one
    assert ended["totals"]["jobs"] == 8 * (1 + 2 * 2)
    killed = tmp_path / "killed"
    process = harness.start(spec(tmp_path, networks=6), killed)
    harness.wait_for(process, killed, lambda seen: sum(isinstance(event, JobSucceeded) for event in seen) >= 12)
    harness.kill(process)
    harness.assert_none_left(killed)
    harness.run(spec(tmp_path, networks=8), killed)
    assert harness.result(killed) == harness.result(whole)
    assert max(harness.epochs_committed(killed).values()) == 1
    found = study(harness.result(whole))
    assert [one.name for one in found.settings] == [
        "c4r4s0e1", "c4r4s0e1of2", "c4r4s0e2", "c16r8s1.0e1", "c16r8s1.0e1of2", "c16r8s1.0e2",
    ]  # fmt: skip
    assert all(one.rho is not None and one.interval is not None for one in found.settings)
    assert found.recommended is not None


def test_an_impossible_setting_is_refused_when_the_spec_is_read(tmp_path: Path) -> None:
    said = harness.coldframe("run", str(spec(tmp_path, resolution=10)), "--store", str(tmp_path / "store"), expected=2)
    assert "proxy.resolution is 10: expected a multiple of 4" in said
    assert not (tmp_path / "store").exists()
