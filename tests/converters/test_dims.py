# SPDX-License-Identifier: Apache-2.0
"""The integer algebra against plain integers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrnn.converters import dims as dm
from tinyrnn.errors import ShapeError

T, N = dm.symbol("t"), dm.symbol("n")
VALUES = st.fixed_dictionaries({"t": st.integers(1, 40), "n": st.integers(1, 40)})
OPERATIONS = {
    "+": (lambda a, b: a + b, lambda a, b: a + b),
    "-": (lambda a, b: a - b, lambda a, b: a - b),
    "*": (lambda a, b: a * b, lambda a, b: a * b),
    "min": (dm.minimum, min),
    "max": (dm.maximum, max),
    "//": (lambda a, b: dm.floor_div(a, dm.maximum(b, 1)), lambda a, b: a // max(b, 1)),
    "ceil": (lambda a, b: dm.ceil_div(a, dm.maximum(b, 1)), lambda a, b: -(-a // max(b, 1))),
    "%": (lambda a, b: dm.mod(a, dm.maximum(b, 1)), lambda a, b: a % max(b, 1)),
}


def trees(depth):
    """Expressions as nested tuples."""
    leaf = st.one_of(st.integers(-6, 12), st.sampled_from(["t", "n"]))
    return st.recursive(leaf, lambda t: st.tuples(st.sampled_from(sorted(OPERATIONS)), t, t), max_leaves=depth)


def build(tree):
    if isinstance(tree, tuple):
        return OPERATIONS[tree[0]][0](build(tree[1]), build(tree[2]))
    return dm.symbol(tree) if isinstance(tree, str) else tree


def value(tree, values):
    if isinstance(tree, tuple):
        return OPERATIONS[tree[0]][1](value(tree[1], values), value(tree[2], values))
    return values[tree] if isinstance(tree, str) else tree


def on_stack(terms, values):
    """Run postfix terms as the engine does."""
    stack = []
    for kind, operand in terms:
        if kind == "CONSTANT":
            stack.append(operand)
        elif kind == "SYMBOL":
            stack.append(values[operand])
        else:
            b, a = stack.pop(), stack.pop()
            assert kind not in ("FLOOR_DIV", "CEIL_DIV", "MOD") or b > 0
            run = {"ADD": a + b, "SUB": a - b, "MUL": a * b, "MIN": min(a, b), "MAX": max(a, b)}
            stack.append(
                run[kind] if kind in run else {"FLOOR_DIV": a // b, "CEIL_DIV": -(-a // b), "MOD": a % b}[kind]
            )
    (result,) = stack
    return result


@settings(max_examples=400, deadline=None)
@given(trees(6), VALUES)
def test_expressions_have_the_values_of_plain_integers(tree, values):
    try:
        size = build(tree)
    except ShapeError:
        return  # too complicated, which is refused and never wrong
    want = value(tree, values)
    assert dm.evaluate(size, values) == want
    assert on_stack(dm.postfix(size), values) == want
    low, high = dm.bounds(size)
    assert low is None or low <= want
    assert high is None or want <= high


@settings(max_examples=200, deadline=None)
@given(trees(4), trees(4))
def test_exact_division_undoes_multiplication(a, b):
    try:
        a, b = build(a), build(b)
        product = a * b
    except ShapeError:
        return
    if b != 0:
        assert dm.exact_div(product, b) == a


@settings(max_examples=200, deadline=None)
@given(trees(5), VALUES)
def test_substitution_and_equality_agree(tree, values):
    try:
        size = build(tree)
    except ShapeError:
        return
    assert dm.substitute(size, {"t": values["t"]}) == dm.substitute(size, {"t": values["t"], "x": 1})
    assert dm.substitute(dm.substitute(size, {"t": values["t"]}), {"n": values["n"]}) == dm.evaluate(size, values)


def test_equal_expressions_are_equal_objects():
    assert (T + N) * (T - N) == T * T - N * N
    assert dm.floor_div(2 * T * 8, 8) == 2 * T
    assert dm.floor_div(T * 8 + 3, 8) == T
    assert hash(T * N) == hash(N * T)
    assert dm.exact_div(T * N + N, T + 1) == N
    assert dm.exact_div(T + 1, 2) is None


def test_symbols_are_at_least_one():
    assert dm.maximum(T - 1, 0) == T - 1
    assert dm.minimum(1, T) == 1
    assert str(dm.minimum(4, T)) == "min(4, t)"


def test_linear_equations_are_solved():
    assert dm.solve(12 * T, 24, "t") == 2
    assert dm.solve(12 * T, 25, "t") is None
    assert dm.solve(T * N, 24, "t") is None


def test_runaway_expressions_are_refused_in_time():
    def square(size):
        for _ in range(64):
            size = size * size

    def nest(size):
        for i in range(2, 5000):
            size = dm.floor_div(size + 1, i)

    for run_away in (square, nest):
        with pytest.raises(ShapeError, match="too complicated"):
            run_away(T + N + 1)


def test_division_by_nothing_is_refused():
    with pytest.raises(ShapeError, match="divided by 0"):
        dm.floor_div(T, 0)
