"""The description of the API, and what becomes of thousands of requests made from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.fake import Served
from tests.api.thread import InThread

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with InThread(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture(scope="module")
def description(served: Served) -> dict[str, Any]:
    answer = httpx.get(f"{served.endpoint.tcp}/v1/openapi.json", headers={"authorization": f"Bearer {served.token}"})
    found: dict[str, Any] = answer.json()
    return found


def known_things(served: Served, description: dict[str, Any]) -> dict[str, Any]:
    """The description with names that are there among those that are tried: else all answers would be 404."""
    found: dict[str, Any] = json.loads(json.dumps(description))
    job = next(iter(served.daemon.history.jobs))
    there = {"search": "5" * 64, "job": job, "what": job, "device": "cpu", "rank": 7}
    for operations in found["paths"].values():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    schema = parameter["schema"]
                    parameter["schema"] = {"anyOf": [{"const": there[parameter["name"]]}, schema]}
    return found


def fuzz(served: Served, description: dict[str, Any], examples: int) -> int:
    """Tries every operation with so many made-up requests; returns how many were answered."""
    schema = schemathesis.openapi.from_dict(known_things(served, description))
    schema.config.update(base_url=served.endpoint.tcp)
    answered = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy())
        def one(case: Any) -> None:
            nonlocal answered
            case.call_and_validate(headers={"Authorization": f"Bearer {served.token}"}, checks=CHECKS, timeout=30)
            answered += 1

        one()
    return answered


def test_every_route_is_described(served: Served, description: dict[str, Any]) -> None:
    assert description["openapi"] == "3.1.0"
    assert len(description["paths"]) > 20
    names = [one["operationId"] for operations in description["paths"].values() for one in operations.values()]
    assert len(set(names)) == len(names)
    for operations in description["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert {"200", "401", "403"} <= set(operation["responses"])


def test_whatever_is_sent_the_daemon_answers_as_described(served: Served, description: dict[str, Any]) -> None:
    assert fuzz(served, description, 2) > 40


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_whatever_is_sent_the_daemon_answers_as_described_at_length(
    served: Served, description: dict[str, Any]
) -> None:
    assert fuzz(served, description, 60) > 1000
