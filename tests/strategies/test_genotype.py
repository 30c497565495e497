"""Genotypes: the JSON form, the concat rules, and errors that name all that is wrong at once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.errors import InvalidGenotype
from strategies.spaces.genotype import (
    DARTS_OPERATIONS,
    NASNET_OPERATIONS,
    OPERATIONS,
    Genotype,
    all_nodes,
    from_json,
    loose_ends,
)
from strategies.spaces.published import PUBLISHED

NODE = [["sep_conv_3x3", 0], ["skip_connect", 1]]
VALID = {"normal": NODE * 2, "reduce": NODE, "normal_concat": [2, 3], "reduce_concat": "all"}


@st.composite
def cells(draw):
    nodes = []
    for index in range(draw(st.integers(1, 6))):
        edge = st.tuples(st.sampled_from(OPERATIONS), st.integers(0, index + 1))
        nodes.append(draw(st.tuples(edge, edge)))
    return tuple(nodes)


def test_the_operation_sets_have_their_published_sizes():
    assert (len(DARTS_OPERATIONS), len(NASNET_OPERATIONS), len(OPERATIONS)) == (8, 13, 15)


@given(cells(), cells(), st.sampled_from(["loose", "all"]))
def test_the_json_form_comes_back_the_same(normal, reduce, rule):
    genotype = Genotype(normal, reduce, (2,), (2,)).with_concat(rule)
    assert from_json(json.loads(json.dumps(genotype.to_json()))) == genotype


@given(cells())
def test_loose_ends_are_the_nodes_that_nothing_reads(nodes):
    loose = loose_ends(nodes)
    assert loose[-1] == len(nodes) + 1
    read = {state for node in nodes for _, state in node}
    assert set(all_nodes(nodes)) - read == set(loose)


def test_concat_lists_may_be_rules_or_out_of_order():
    value = {**VALID, "normal_concat": [3, 2]}
    assert from_json(value).normal_concat == (2, 3)
    assert from_json({**VALID, "normal_concat": "loose"}).normal_concat == (2, 3)
    assert from_json(VALID).reduce_concat == (2,)


def test_published_genotypes_can_be_written_and_read():
    assert all(from_json(genotype.to_json()) == genotype for genotype in PUBLISHED.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normal": [["sepconv", 0], ["none", 1]]}, "normal[0]: got operation 'sepconv', expected one of none, "),
        ({"reduce": [["none", 0], ["none", 2]]}, "reduce[1]: got state 2, expected 0 to 1, a state before node 2"),
        ({"normal": NODE[:1]}, "normal: got [['sep_conv_3x3', 0]], expected a list of [operation, state] pairs"),
        ({"normal": [["none", True], ["none", 1]]}, "normal[0]: got ['none', True], expected [operation, state]"),
        ({"normal": []}, "normal: got [], expected a list"),
        ({"normal_concat": [2, 4]}, "normal_concat: got [2, 4], expected different node numbers from 2 to 3"),
        ({"normal_concat": []}, "normal_concat: got [], expected different node numbers from 2 to 3"),
        ({"reduce_concat": "some"}, "reduce_concat: got 'some', expected a list of node numbers, 'loose' or 'all'"),
        ({"reduce_concat": [2, 2]}, "reduce_concat: got [2, 2], expected different node numbers"),
        ({"name": "mine"}, "name: unknown key, expected normal, reduce, normal_concat, reduce_concat"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(change, message):
    with pytest.raises(InvalidGenotype) as caught:
        from_json({**VALID, **change}, source="cell.json")
    assert str(caught.value).startswith("cell.json: invalid genotype: ")
    assert message in str(caught.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(InvalidGenotype) as caught:
        from_json({"normal": [["what", 0], ["none", 9]], "reduce_concat": 3})
    assert len(caught.value.problems) == 5


@pytest.mark.parametrize("value", [None, [], "DARTS_V2", 3])
def test_what_is_not_an_object_is_refused(value):
    with pytest.raises(InvalidGenotype, match="expected an object with the keys normal, reduce"):
        from_json(value)


def test_a_genotype_cannot_be_made_of_what_does_not_fit():
    with pytest.raises(InvalidGenotype, match="ascending"):
        Genotype(PUBLISHED["DARTS_V2"].normal, PUBLISHED["DARTS_V2"].reduce, (3, 2), (2,))
