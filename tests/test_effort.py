"""How much is learned is one frozen value that users set and files hold."""

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eels_bayes as eb

SCHEDULES = ("vae", "dense")
NUMBERS = [
    field.name
    for field in fields(eb.Effort)
    if field.name not in SCHEDULES and field.name != "gp_learning_rate"
]

schedules = st.builds(
    eb.Schedule,
    epochs=st.integers(1, 100),
    steps=st.integers(1, 100),
    learning_rate=st.floats(1e-6, 1.0),
    patience=st.integers(1, 20),
)


@given(
    numbers=st.dictionaries(st.sampled_from(NUMBERS), st.integers(1, 10**6)),
    vae=schedules,
    rate=st.floats(1e-6, 1.0),
)
def test_plain_values_give_it_back(numbers: dict[str, int], vae: eb.Schedule, rate: float) -> None:
    effort = replace(eb.Effort(), vae=vae, gp_learning_rate=rate, **numbers)
    assert eb.Effort.from_options(effort.options()) == effort


def test_what_plain_values_lack_has_its_default() -> None:
    vae = {"epochs": 3, "steps": 7, "learning_rate": 0.01, "patience": 2}
    assert eb.Effort.from_options({"vae": vae}) == eb.Effort(vae=eb.Schedule(**vae))


def test_quick_is_less_of_everything() -> None:
    quick, full = eb.Effort.quick(), eb.Effort()
    assert all(getattr(quick, name) <= getattr(full, name) for name in NUMBERS)
    for name in SCHEDULES:
        one, other = getattr(quick, name), getattr(full, name)
        assert one.epochs * one.steps < other.epochs * other.steps


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        eb.Effort().gp_steps = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "many", None])
def test_numbers_that_cannot_be(name: str, value: Any) -> None:
    with pytest.raises(
        (TypeError, ValueError), match=f"{name} must be a whole number of at least 1, got"
    ):
        replace(eb.Effort(), **{name: value})


@pytest.mark.parametrize("rate", [0, -0.1, float("nan"), float("inf"), "fast"])
def test_rates_that_cannot_be(rate: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"gp_learning_rate is .* above zero"):
        eb.Effort(gp_learning_rate=rate)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_schedules(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} is a int; give a Schedule"):
        replace(eb.Effort(), **{name: 20})


def test_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError, match="gp_stepz"):
        eb.Effort.from_options({"gp_stepz": 3})
