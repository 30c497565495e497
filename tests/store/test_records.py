"""Records: what names a thing must not change by accident."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from store.errors import NotCanonical
from store.records.arrays import pack, unpack
from store.records.base import canonical, digest
from store.records.candidates import Architecture, Candidate, DataSpec, Named, Proxy, Recipe, candidate_id
from store.records.requests import Evaluate, Measure, Train
from store.records.spec import SearchSpec
from tests.store.builders import candidate

keys = st.text(st.characters(codec="utf-8"), max_size=6)
plain = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | keys,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return tuple(map(shuffled, value)) if isinstance(value, list) else value


def test_the_identity_of_a_candidate_and_its_requests_never_changes() -> None:
    """These names lie in every store that was ever written; a change here loses all of their results."""
    evaluate = Evaluate(candidate=candidate(), checkpoint="0" * 64)
    plain_value = {"b": [1, 2.5, True, b"x"], "a": {"z": "é", "y": None}}
    named = {
        "0c69c428f6d4f09ef0f7cd6a6984d0a38cd775ee25f9cf2508be4db8007579c2": candidate().id,
        "ed2a1fc7f503844264563fcea3f3ade3eb93fb131d1d6836d454a107debcc694": Train(candidate=candidate(), epochs=20).key,
        "65b188d8fa9c55e7d4a03b258a0126496ca282a6d629b99c74f4229987b79ad3": evaluate.key,
        "c5f0df79cab561f25e88be090a3a2160f8aa4e42bd1ef10a2824cd93548eda89": Measure(candidate=candidate()).key,
        "3ed058d64c573bfaab942c8152cce96c4100513c4ee73b3d965e3f3b883b5999": digest(plain_value),
    }
    assert list(named) == list(named.values())


def test_a_candidate_made_from_another_is_the_one_that_is_made_from_the_start() -> None:
    other = Architecture(space="cell", genes=(1, 0))
    made = candidate().of(other)
    fresh = Candidate.model_validate(candidate().model_dump() | {"architecture": other.model_dump()})
    assert made == fresh
    assert made.id == fresh.id != candidate().id
    assert made.model_dump() == fresh.model_dump()
    assert candidate_id(made.model_dump()) == made.id


def test_a_candidate_that_inherits_blocks_has_a_name_of_its_own_also_where_the_other_was_named_before() -> None:
    plain_one = candidate()
    assert plain_one.id
    initial = (f"stem={'0' * 64}/stem",)
    made = plain_one.inheriting(initial)
    fresh = Candidate.model_validate(candidate().model_dump() | {"initial": initial})
    assert made == fresh
    assert made.id == fresh.id != plain_one.id
    assert candidate_id(made.model_dump()) == made.id
    assert made.inheriting(()).id == plain_one.id


@given(plain)
def test_a_digest_does_not_depend_on_the_order_of_keys_or_the_kind_of_sequence(value: Any) -> None:
    assert digest(value) == digest(shuffled(value))
    assert msgpack.unpackb(canonical(value), raw=False) == value


def test_an_optional_field_that_a_later_version_adds_changes_no_name() -> None:
    class Later(Candidate):
        teacher: str | None = None

    assert Later.model_validate(candidate().model_dump()).id == candidate().id


@pytest.mark.parametrize(
    "recipe",
    [
        {"nesterov": False, "rate_per_step": False, "crop": "padded", "precision": "float32"},
        {"warmup_epochs": 0, "warmup_learning_rate": 0.0, "label_smoothing": 0, "accumulate": 1},
        {"path_dropout": 0.0, "colour_jitter": 0.0, "auxiliary_weight": 0.4},
    ],
)
def test_a_setting_that_is_written_out_and_changes_nothing_changes_no_name(recipe: dict[str, Any]) -> None:
    written = candidate().model_copy(update={"recipe": Recipe.model_validate(recipe), "proxy": Proxy(stem="cifar")})
    assert written.id == candidate().model_copy(update={"recipe": Recipe(), "proxy": Proxy()}).id


@pytest.mark.parametrize("recipe", [{"nesterov": True}, {"accumulate": 2}, {"auxiliary_weight": 0.0}])
def test_a_setting_that_changes_something_changes_the_name(recipe: dict[str, Any]) -> None:
    written = candidate().model_copy(update={"recipe": Recipe.model_validate(recipe)})
    assert written.id != candidate().model_copy(update={"recipe": Recipe()}).id


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [1, {"x": -float("inf")}], 2**64, {1, 2}, {1: "a", "b": 2}, object()]
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonical, match="cannot be stored"):
        canonical(value)


def test_a_candidate_comes_back_from_its_bytes_with_the_same_name() -> None:
    again = Candidate.model_validate(msgpack.unpackb(canonical(candidate()), raw=False))
    assert again == candidate()
    assert again.id == candidate().id


@given(hnp.arrays(st.sampled_from(["float32", "int64", "uint8", "bool"]), hnp.array_shapes(min_dims=0, min_side=0)))
def test_arrays_come_back_among_plain_values(array: np.ndarray[Any, Any]) -> None:
    found = unpack(pack({"a": [array, 1], "b": "text"}))
    assert found["a"][1:] == [1]
    assert found["b"] == "text"
    assert found["a"][0].tobytes() == array.tobytes()
    assert (found["a"][0].dtype, found["a"][0].shape) == (array.dtype, array.shape)


def test_a_spec_refuses_unknown_keys_and_a_record_passes_over_them() -> None:
    spec = {"name": "s", "strategy": {"name": "random"}, "space": {"name": "cell"}, "data": {"name": "digits"}}
    assert SearchSpec.model_validate(spec).strategy == Named(name="random")
    with pytest.raises(ValidationError, match="budget"):
        SearchSpec.model_validate(spec | {"budget": 3})
    assert Candidate.model_validate(candidate().model_dump() | {"later": 1}) == candidate()


def test_a_search_keeps_its_name_when_totals_resources_or_paths_change() -> None:
    def name(fingerprint: str = "f", **changes: Any) -> str:
        fields: dict[str, Any] = {
            "name": "s",
            "strategy": Named(name="random", options={"trials": 10, "epochs": 2}),
            "space": Named(name="cell"),
            "data": DataSpec(name="npz", path="/a"),
        }
        return SearchSpec.model_validate(fields | changes).identity(frozenset({"trials"}), fingerprint)

    assert name() == name(strategy=Named(name="random", options={"trials": 20, "epochs": 2}))
    assert name() == name(data=DataSpec(name="npz", path="/b"), resources={"workers": 8})
    assert name() == name(faults=({"kind": "exit"},))
    others = [name(seed=1), name(fingerprint="g"), name(strategy=Named(name="random", options={"trials": 10}))]
    assert len({name(), *others}) == 4
