"""What `coldframe serve --config FILE` reads: one TOML file, every key with its unit and its default."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from orchestrator.errors import ConfigError, Problem
from store.records.base import Config


class TcpConfig(Config):
    """The API on TCP; not there unless this table is."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8417, ge=0, le=65535, description="0: any that is free")
    token_file: Path = Field(description="holds the token; made, mode 0600, if it is not there")
    hosts: tuple[str, ...] = Field(
        default=("localhost", "127.0.0.1", "[::1]"), description="what a request's Host may be, without the port"
    )
    public_reading: bool = Field(
        default=False, description="whoever reaches the port may read without the token, and only read"
    )


class ApiConfig(Config):
    """Who may talk to the daemon, and how much they may send."""

    socket: Path | None = Field(default=None, description="Unix socket; absent: in the store's folder `run`")
    group: str | None = Field(default=None, description="a group whose members may use the socket too")
    users: tuple[str, ...] = Field(default=(), description="names of users who may use the socket, beside the owner")
    tcp: TcpConfig | None = None
    body_bytes: int = Field(default=1 << 20, ge=1024, description="the longest body of a request")
    data_folders: tuple[Path, ...] = Field(
        default=(), description="over TCP, a spec's data and tables must lie in one of these"
    )
    watchers: int = Field(default=100, ge=1, description="the most streams of events at once")


class MetricsConfig(Config):
    """Prometheus's own port, read-only and without a token; `port` absent: only the API's path /metrics."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int | None = Field(default=None, ge=0, le=65535, description="0: any that is free")


class DevicesConfig(Config):
    """What jobs run on."""

    use: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: GPUs if there are any, else CPU")
    cpu_workers: int = Field(default=2, ge=1, le=256, description="worker processes where there is no GPU")
    workers_per_gpu: int | None = Field(
        default=None, ge=1, le=64, description="absent: as many as fit, by what jobs of the same kind have taken"
    )
    most_workers_per_gpu: int = Field(default=8, ge=1, le=64, description="where they are sized by memory")
    reserve_bytes: int = Field(default=1 << 30, ge=0, description="memory of each GPU that is left to others")
    threads: int = Field(default=1, ge=1, description="CPU threads of each worker")
    faults: int = Field(default=3, ge=1, description="so many faults in `fault_seconds` put a device out of service")
    fault_seconds: float = Field(default=600.0, gt=0, description="in which faults of a device count together")
    poll_seconds: float = Field(default=5.0, gt=0, description="between two looks at a device")
    nvml_seconds: float = Field(default=5.0, gt=0, description="a GPU whose driver takes longer to answer is lost")
    mps: bool = Field(default=False, description="start and stop NVIDIA's Multi-Process Service")


class LimitsConfig(Config):
    """What keeps one bad search, or a bad machine, from harming the rest."""

    hang_seconds: float = Field(default=120.0, gt=0, description="a worker silent for so long is killed")
    stop_seconds: float = Field(default=20.0, gt=0, description="a worker that does not stop within this is killed")
    drain_seconds: float = Field(default=60.0, gt=0, description="from SIGTERM to the end, at most")
    starts_per_minute: int = Field(default=120, ge=1, description="worker processes started, at most")
    search_failures: int = Field(
        default=100, ge=1, description="counted failed attempts of one search in an hour; more end it"
    )
    pool_bytes: int | None = Field(default=None, ge=1, description="the most that the knowledge pool may take")
    collect_hours: float = Field(default=24.0, ge=0, description="between two collections of garbage; 0: none")


class LogConfig(Config):
    """Structured logs: one JSON object a line in `<store>/logs/daemon.jsonl`, a file for each job in `logs/jobs`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    bytes: int = Field(default=16 << 20, ge=4096, description="of a file before it is rotated")
    keep: int = Field(default=5, ge=1, description="rotated files that stay")
    job_bytes: int = Field(default=1 << 20, ge=4096, description="of one job's file; its middle is left out")
    jobs: int = Field(default=1000, ge=10, description="jobs whose files are kept: the latest, failed ones longest")


class ServeConfig(Config):
    """The daemon's settings."""

    store: Path = Field(description="folder of the store, made if it is not there")
    api: ApiConfig = ApiConfig()
    metrics: MetricsConfig = MetricsConfig()
    devices: DevicesConfig = DevicesConfig()
    limits: LimitsConfig = LimitsConfig()
    log: LogConfig = LogConfig()


def load(path: Path) -> ServeConfig:
    """Reads and checks a configuration; relative paths are taken from the file's folder.

    Raises:
        ConfigError: naming everything that is wrong with the file.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), [Problem("file", None, f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:
        raise ConfigError(str(path), [Problem("file", None, f"is not TOML: {error}")]) from error
    try:
        config = ServeConfig.model_validate(raw)
    except ValidationError as error:
        problems = [
            Problem(".".join(map(str, detail["loc"])), detail["input"], detail["msg"])
            for detail in error.errors(include_url=False)
        ]
        raise ConfigError(str(path), problems) from error
    return _absolute(config, path.absolute().parent)


def _absolute(config: ServeConfig, base: Path) -> ServeConfig:
    api = config.api
    tcp = api.tcp and api.tcp.model_copy(update={"token_file": base / api.tcp.token_file})
    folders = tuple(base / folder for folder in api.data_folders)
    api = api.model_copy(update={"socket": api.socket and base / api.socket, "tcp": tcp, "data_folders": folders})
    return config.model_copy(update={"store": base / config.store, "api": api})
