"""What every public door asks of its arguments: the checks themselves."""

import itertools
import math
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pytest

from pixelflow import checks

HUGE = 10**400  # which neither float64 holds nor Python prints, at ten times as many digits


class Unprintable:
    def __repr__(self):
        raise KeyError("no repr")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3, "3"),
        ("wave", "'wave'"),
        (10**60, "2**199 or more"),
        (-(10**5000), "-2**16609 or more"),
        (np.arange(12), repr(np.arange(12))),
        (np.zeros((3, 5), np.uint8), "an array of uint8 (3, 5)"),
        ([10**5000], "a list"),
    ],
    ids=range(7),  # pytest would print the values
)
def test_a_value_is_shown_briefly(value, shown):
    assert checks.brief(value) == shown


def test_a_value_whose_repr_fails_is_shown_all_the_same():
    assert checks.brief(Unprintable()).startswith("<Unprintable instance")
    assert checks.brief([Unprintable()]).startswith("[<Unprintable instance")


@pytest.mark.parametrize("value", ["x" * 10**6, b"x" * 10**6, list(range(10**6)), {"a": "b" * 999}])
def test_a_long_value_is_cut(value):
    assert len(checks.brief(value)) < 300


@pytest.mark.parametrize("value", [0, -7, 2**70, np.int8(3), np.uint64(2**64 - 1)])
def test_integers_are_pythons(value):
    assert checks.is_integer(value)
    found = checks.integer("n", value)
    assert found == value and type(found) is int


@pytest.mark.parametrize("value", [True, np.False_, 2.0, np.float32(2), "2", None, [2], np.ones(1)])
def test_what_is_no_integer(value):
    assert not checks.is_integer(value)
    with pytest.raises(TypeError, match=r"^n must be an integer, got "):
        checks.integer("n", value)


def test_integers_have_limits():
    assert [checks.integer("n", value, 2, 4) for value in (2, 4)] == [2, 4]
    with pytest.raises(ValueError, match=r"^n must be at least 2, got 1$"):
        checks.integer("n", 1, 2, 4)
    with pytest.raises(ValueError, match=r"^n must be at most 4, got 2\*\*1328 or more$"):
        checks.integer("n", HUGE, 2, 4)


@pytest.mark.parametrize("value", [0.5, -3, np.float32(0.5), np.int16(4), Fraction(1, 3), 1e308])
def test_numbers_are_pythons(value):
    found = checks.number("x", value)
    assert found == float(value) and type(found) is float


@pytest.mark.parametrize("value", [True, np.True_, "0.5", None, 1j, [0.5], np.array(0.5)])
def test_what_is_no_number(value):
    for check in (checks.number, checks.float32):
        with pytest.raises(TypeError, match=r"^x must be a number, got "):
            check("x", value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, HUGE, -HUGE, Fraction(HUGE)])
def test_numbers_are_finite(value):
    for check in (checks.number, checks.float32):
        with pytest.raises(ValueError, match=r"^x must be finite and fit float64, got "):
            check("x", value)


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "message"),
    [
        ({"least": 0}, 0, -1e-9, "at least 0, got -1e-09"),
        ({"most": 1}, 1, 1.5, "at most 1, got 1.5"),
        ({"above": 0}, 1e-9, 0, "above 0, got 0"),
        ({"below": 180}, 179.9, 180, "below 180, got 180"),
    ],
)
def test_numbers_have_limits(limits, inside, outside, message):
    assert checks.number("x", inside, **limits) == inside
    with pytest.raises(ValueError) as raised:
        checks.number("x", outside, **limits)
    assert str(raised.value) == f"x must be {message}"


def test_float32_ends_where_its_largest_number_does():
    largest = float(np.finfo(np.float32).max)
    assert checks.float32("x", -largest) == -largest
    with pytest.raises(ValueError, match=r"^x must be finite and fit float32, got 1e\+39$"):
        checks.float32("x", 1e39)


@pytest.mark.parametrize(
    "value", [2, [1, 2.5], ((1, 2), (3, 4)), np.float32([1, 2]), range(4), [10**30, Fraction(1, 4)]]
)
def test_real_arrays_are_float64(value):
    found = checks.real_array("x", value)
    assert found.dtype == np.float64
    assert found.tolist() == np.vectorize(float)(np.array(value)).tolist()


def test_a_real_array_is_a_copy():
    given = np.ones(3)
    assert not np.shares_memory(checks.real_array("x", given), given)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("1", TypeError, "a number or numbers"),
        ([1, "2"], TypeError, "a number or numbers"),
        ([True, False], TypeError, "a number or numbers"),
        ([1j], TypeError, "a number or numbers"),
        ([[1], [1, 2]], TypeError, "a number or numbers"),
        ([None, 1], TypeError, "a number or numbers"),
        ({"a": 1}, TypeError, "a number or numbers"),
        ([1, math.nan], ValueError, "finite and fit float32"),
        ([1, -math.inf], ValueError, "finite and fit float32"),
        ([1, 1e39], ValueError, "finite and fit float32"),
        (np.longdouble("1e400"), ValueError, "finite and fit float32"),
        ([1.5, HUGE], ValueError, "finite and fit float32"),
        (np.ma.array([1.0, 2.0], mask=[False, True]), ValueError, "no masked values"),
        ([[1.0], np.ma.array([1.0], mask=[True])], ValueError, "no masked values"),
        ([1.0, (2.0, np.ma.masked)], ValueError, "no masked values"),
        (range(10**30), ValueError, "at most 1048576 items"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_no_real_array(value, error, message):
    with pytest.raises(error) as raised:
        checks.real_array("x", value)
    assert str(raised.value).startswith("x must") and message in str(raised.value)


def test_booleans_are_pythons():
    assert [checks.boolean("b", value) for value in (True, np.False_)] == [True, False]
    assert type(checks.boolean("b", np.True_)) is bool
    for value in (1, 0, "yes", None, np.array([True])):
        with pytest.raises(TypeError, match=r"^b must be True or False, got "):
            checks.boolean("b", value)


def test_a_choice_is_one_of_the_names():
    assert checks.choice("kind", "a", ("a", "b")) == "a"
    for value in ("c", None, ["a"], np.array(["a", "b"]), 1):
        with pytest.raises(ValueError, match=r"^unknown kind .*; known are \['a', 'b'\]$"):
            checks.choice("kind", value, ("a", "b"))


@pytest.mark.parametrize("value", [[1, 2], (1, 2), range(1, 3), np.array([1, 2]), iter([1, 2])])
def test_sequences_are_tuples(value):
    assert checks.sequence("items", value, 2) == (1, 2)


@pytest.mark.parametrize("value", ["12", b"12", {1, 2}, frozenset((1, 2)), 3, None, np.array(3)])
def test_what_has_no_order_or_is_text_is_no_sequence(value):
    with pytest.raises(TypeError, match=r"^items must be a sequence, got "):
        checks.sequence("items", value, 2)


@pytest.mark.parametrize("value", [[1, 2, 3], range(10**30), itertools.count(), [0] * 9])
def test_a_sequence_that_is_too_long_ends(value):
    with pytest.raises(ValueError, match=r"^items must have at most 2 items, got more$"):
        checks.sequence("items", value, 2)


def test_a_mapping_has_known_keys():
    for value in ({}, {"a": 1}, MappingProxyType({"b": 2})):
        assert checks.mapping("options", value, ("a", "b"), "it") is value
    with pytest.raises(TypeError, match=r"^options must be a mapping, got list$"):
        checks.mapping("options", [("a", 1)], ("a", "b"), "it")
    with pytest.raises(
        ValueError, match=r"^options has unknown \['c', 1\]; it knows \['a', 'b'\]$"
    ):
        checks.mapping("options", {"c": 1, 1: 2, "a": 3}, ("a", "b"), "it")
    with pytest.raises(ValueError, match="unknown") as raised:
        checks.mapping("options", dict.fromkeys(map(str, range(10**5))), ("a", "b"), "it")
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    ("error", "becomes", "said"),
    [
        (TypeError("too much"), TypeError, "X: too much"),
        (ValueError("too much"), ValueError, "X: too much"),
        (ValueError("Input X is odd"), ValueError, "Input X is odd"),
        (OverflowError("too much"), ValueError, "X must hold numbers that fit float64: too much"),
    ],
)
def test_what_is_raised_within_is_named(error, becomes, said):
    with pytest.raises(becomes) as raised, checks.naming("X"):
        raise error
    assert str(raised.value) == said
    with pytest.raises(KeyError), checks.naming("X"):
        raise KeyError("a slip of ours")


def test_an_array_has_any_type():
    assert checks.as_array("x", ["a", "b"]).dtype.kind == "U"
    given = np.ones(3)
    assert checks.as_array("x", given) is given


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (range(10**30), "x must have at most 134217728 items"),
        ([[1], [1, 2]], "x: setting an array"),
    ],
)
def test_what_is_no_array_is_named(value, message):
    with pytest.raises(ValueError) as raised:
        checks.as_array("x", value)
    assert str(raised.value).startswith(message)


def test_paths_know_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert checks.path("path", "~/m.npz") == tmp_path / "m.npz"
    assert checks.path("path", tmp_path / "m.npz") == tmp_path / "m.npz"


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (1, TypeError),
        (None, TypeError),
        (b"m.npz", TypeError),
        ("", ValueError),
        ("a\0b", ValueError),
    ],
)
def test_what_is_no_path(value, error):
    with pytest.raises(error, match=r"^path must "):
        checks.path("path", value)
