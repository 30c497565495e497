"""The rules of docs/architecture.md and CONTRIBUTING.md that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("orchestrator", "store", "strategies", "trainers")
LONGEST_MODULE, LONGEST_FUNCTION = 400, 60
UNSAFE = re.compile(
    r"\b(c?pickle|dill|cloudpickle|joblib|shelve|marshal)\b|torch\.(load|save)\(|allow_pickle\s*=\s*True"
)
TORCH_FORMAT = "trainers/export/formats.py"
"""Writes a state_dict for those who ask for PyTorch's own format, and reads it back without unpickling objects."""
SPAWNING = {"anyio", "asyncio", "signal", "subprocess"}


def modules() -> list[Path]:
    return sorted(file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py"))


def name(file: Path) -> str:
    return str(file.relative_to(REPOSITORY))


def imported(tree: ast.AST) -> Iterator[str]:
    """The top-level packages that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def python(script: str) -> str:
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    return ended.stdout.strip()


def test_the_import_rules_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([lint], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(
    "module",
    ["strategies.spaces.registry", "strategies.registry", "orchestrator.foreground", "orchestrator.retraining"],
)
def test_what_decides_and_what_connects_load_no_torch(module: str) -> None:
    assert python(f"import sys, {module}; print('torch' in sys.modules)") == "False"


@pytest.mark.parametrize("module", modules(), ids=name)
def test_every_module_has_one_subject_and_says_which(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{name(module)} has no docstring"
    assert text.count("\n") <= LONGEST_MODULE, f"{name(module)} is longer than {LONGEST_MODULE} lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= LONGEST_FUNCTION, f"{name(module)}: {node.name} has {lines} lines"


def test_nothing_is_unpickled() -> None:
    found = [name(module) for module in modules() if UNSAFE.search(module.read_text(encoding="utf-8"))]
    assert found == [TORCH_FORMAT]
    text = (REPOSITORY / TORCH_FORMAT).read_text(encoding="utf-8")
    assert all("weights_only=True" in call for call in re.findall(r"torch\.load\([^)]*\)", text))
    assert re.findall(r"torch\.save\(.*", text) == ["torch.save(dict(network.state_dict()), file)"]


def test_only_the_orchestrator_spawns_and_listens_to_signals() -> None:
    for module in modules():
        if module.relative_to(REPOSITORY).parts[0] in {"store", "strategies"}:
            found = SPAWNING & set(imported(ast.parse(module.read_text(encoding="utf-8"))))
            assert found == set(), f"{name(module)} imports {sorted(found)}"


def test_strategies_read_no_clock_and_no_global_generator() -> None:
    testing = REPOSITORY / "strategies" / "testing.py"  # tests strategies, and is none
    for module in set((REPOSITORY / "strategies").rglob("*.py")) - {testing}:
        text = module.read_text(encoding="utf-8")
        assert not {"random", "time", "datetime"} & set(imported(ast.parse(text))), name(module)
        called = set(re.findall(r"np\.random\.(\w+)", text)) - {"Generator", "PCG64", "SeedSequence", "default_rng"}
        assert called == set(), f"{name(module)} calls numpy's global generator: {sorted(called)}"


def test_every_version_is_pinned() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    known = {_normal(pin.split("==")[0]) for pin in pins}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    declared = [*project["dependencies"], *extras, "hatchling", "editables"]
    assert {_normal(re.split(r"[<>=]", one)[0]) for one in declared} - known == set()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
