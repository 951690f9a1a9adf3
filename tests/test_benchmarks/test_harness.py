"""Turns, neighbours, goals: what the benchmarks share."""

import pytest
from harness import Repetition, Turns, goal, ratio_goal, take_turns


def turns_of(**found):
    turns = Turns()
    turns.found = {name: [Repetition(*one) for one in values] for name, values in found.items()}
    return turns


def test_a_ratio_is_formed_inside_a_round():
    turns = turns_of(
        ours=[(2.0, 1.0, 0.0), (4.0, 1.0, 0.0), (6.0, 1.0, 0.0)],
        bare=[(1.0, 1.0, 0.0), (2.0, 1.0, 0.0), (3.0, 2.0, 0.0)],
    )
    found = turns.ratio("ours", "bare")
    assert (found["median"], found["runs"], found["clock"]) == (2.0, 3, "wall")
    assert turns.ratio("ours", "bare", "processor")["p25"] == pytest.approx(0.75)


def test_disturbed_rounds_are_dropped_and_too_few_left_means_processor_time():
    quiet, loud = (2.0, 1.0, 0.01), (9.0, 1.0, 0.5)
    turns = turns_of(ours=[quiet, quiet, loud, quiet], bare=[(1.0, 1.0, 0.0)] * 4)
    found = turns.ratio("ours", "bare")
    assert (found["median"], found["p75"], found["runs"]) == (2.0, 2.0, 3)
    turns = turns_of(ours=[quiet, loud, loud], bare=[(1.0, 0.5, 0.0)] * 3)
    found = turns.ratio("ours", "bare")
    assert (found["median"], found["runs"], found["clock"]) == (2.0, 3, "processor")


def test_each_contender_goes_first_as_often():
    order = []
    turns = take_turns({name: lambda name=name: order.append(name) for name in "abc"}, 3)
    assert order == list("abcbcacab")
    assert {name: len(found) for name, found in turns.found.items()} == {"a": 3, "b": 3, "c": 3}


def test_goals():
    assert goal(1.04, "<=", 1.05)["met"] and not goal(1.06, "<=", 1.05)["met"]
    assert goal(2, ">=", 2) == {"value": 2, "limit": ">= 2", "met": True}
    row = ratio_goal({"median": 0.9, "p25": 0.8, "p75": 1.0, "runs": 5}, ">=", 0.95, id="P10")
    assert (row["met"], row["p25"], row["id"]) == (False, 0.8, "P10")
