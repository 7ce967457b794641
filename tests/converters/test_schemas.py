# SPDX-License-Identifier: Apache-2.0
"""The registry beside ONNX's own schemas: every opset from 7 on, every attribute, every input, every element type."""

from __future__ import annotations

import onnx.defs
import pytest

from build import lowered, model, node
from tinyrnn.converters import ConversionError, registry
from tinyrnn.converters.ir import TYPE_NAMES

registry.load_all()
NEWEST = onnx.defs.onnx_opset_version()
pytestmark = pytest.mark.skipif(NEWEST < 28, reason="the rows are those of opset 28; install onnx 1.23 or newer")
OPERATORS = sorted(name for domain, name in registry.LOWERINGS if not domain)
OPSETS = range(registry.OLDEST_OPSET, NEWEST + 1)
_SPELLED = {"float32": "float", "float64": "double"}
ONNX_NAMES = {f"tensor({_SPELLED.get(n, n)})": d for d, n in TYPE_NAMES.items()}
#: Integers that are multiplied and added up in no operator of the engine.
_SUMS = "products of integers are refused"
_ROOTS = "roots and logarithms of integers are refused"

#: (operator, input) -> why ONNX's types for it are not all taken. Whatever is not here is.
NOT_TAKEN = {
    ("Col2Im", "input"): "sums of bools are refused",
    ("Attention", "attn_mask"): "what a mask of integers means is not defined",
    ("Einsum", "Inputs"): _SUMS,
    ("Gemm", "A"): _SUMS,
    ("Gemm", "B"): _SUMS,
    ("Gemm", "C"): _SUMS,
    ("GridSample", "X"): "integers between elements are refused",
    ("MatMul", "A"): _SUMS,
    ("MatMul", "B"): _SUMS,
    ("Erf", "input"): _ROOTS,
    ("ReduceL2", "data"): _ROOTS,
    ("ReduceLogSum", "data"): _ROOTS,
    ("ReduceLogSumExp", "data"): _ROOTS,
    ("Shrink", "input"): "steps of integers are refused",
}

#: (operator, input) -> why more types are taken than ONNX defines.
TAKEN_TOO = {
    **{(op, "sequence_lens"): "some exporters write int64" for op in ("RNN", "GRU", "LSTM")},
    **{
        (f"Reduce{kind}", "data"): "8-bit integers are folded as the others are"
        for kind in ("L1", "Mean", "Prod", "Sum", "SumSquare")
    },
}

#: (operator, opset) -> why there is a row where ONNX's schema is marked as deprecated.
DEPRECATED = {
    ("GroupNormalization", opset): "opset 21 replaced it, and models of opset 18 to 20 have it"
    for opset in (18, 19, 20)
}

#: (operator, opset) -> why inputs of one type there may have different ones.
APART = {("BatchNormalization", 14): "opset 15 parted them, and nothing else"}

#: (operator, input) -> why it must have the type of an earlier one, though the schema lets it differ.
TOGETHER = {("RMSNormalization", "scale"): "ONNX's body of it multiplies the two, and infers the type of X for Y"}


def schema_of(op, opset):
    """Return the schema, or None where the operator does not exist in that opset."""
    try:
        found = onnx.defs.get_schema(op, opset, "")
    except onnx.defs.SchemaError:
        return None
    return None if found.deprecated and (op, opset) not in DEPRECATED else found


def pairs(op):
    """Yield (opset, schema, row) for every opset in which either is there."""
    for opset in OPSETS:
        schema, row = schema_of(op, opset), registry.find("", op, opset)
        if schema is not None or row is not None:
            yield opset, schema, row


def types_of(schema, formal):
    """The types of tinyrnn that a schema allows an input."""
    constraints = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    return {ONNX_NAMES[t] for t in constraints.get(formal.type_str, [formal.type_str]) if t in ONNX_NAMES}


@pytest.mark.parametrize("op", OPERATORS)
def test_rows_have_the_opsets_attributes_inputs_and_outputs_of_the_schemas(op):
    for opset, schema, row in pairs(op):
        where = f"{op} in opset {opset}"
        assert schema is not None, f"{where}: a row, but no operator"
        assert row is not None, f"{where}: no row"
        assert set(row.attributes) == set(schema.attributes), where
        assert len(row.inputs) == len(schema.inputs), where
        for mine, formal in zip(row.inputs, schema.inputs):
            option = formal.option.name
            assert (mine.optional, mine.variadic) == (option == "Optional", option == "Variadic"), where
            assert len(row.inputs) == 1 or mine.name == formal.name, where
        high = min(schema.max_output, registry.MANY)
        assert row.outputs == (schema.min_output, high), where


@pytest.mark.parametrize("op", OPERATORS)
def test_inputs_of_one_type_are_those_that_the_schemas_give_one(op):
    for opset, schema, row in pairs(op):
        for i, (mine, formal) in enumerate(zip(row.inputs, schema.inputs)):
            if mine.like >= 0:
                same = schema.inputs[mine.like].type_str == formal.type_str or (op, mine.name) in TOGETHER
                assert same, (
                    f"{op} in opset {opset}: {mine.name} need not have the type of {row.inputs[mine.like].name}"
                )
                assert formal.is_homogeneous
            else:
                earlier = [f.type_str for f in schema.inputs[:i] if f.type_str in _variables(schema)]
                assert formal.type_str not in earlier or (op, opset) in APART, f"{op} in opset {opset}: {mine.name}"


def _variables(schema):
    return {c.type_param_str for c in schema.type_constraints}


@pytest.mark.parametrize("op", OPERATORS)
def test_types_are_those_of_the_newest_schema_of_each_row(op):
    """An older opset that names fewer is taken with the same ones: what they mean there is not in doubt."""
    for row in registry.LOWERINGS["", op]:
        defined = [s for opset, s, r in pairs(op) if r is row]
        for i, mine in enumerate(row.inputs):
            known = set().union(*(types_of(schema, schema.inputs[i]) for schema in defined))
            key = (op, defined[-1].inputs[i].name)
            assert set(mine.types) <= known or key in TAKEN_TOO, f"{key}: {set(mine.types) - known}"
            assert known <= set(mine.types) or key in NOT_TAKEN, f"{key}: {known - set(mine.types)}"


@pytest.mark.parametrize(("table", "sign"), [(NOT_TAKEN, 1), (TAKEN_TOO, -1)])
def test_exceptions_are_still_ones(table, sign):
    for op, name in table:
        differences = set()
        for _, schema, row in pairs(op):
            for formal, mine in zip(schema.inputs, row.inputs):
                known, taken = types_of(schema, formal), set(mine.types)
                differences |= (known - taken if sign > 0 else taken - known) if formal.name == name else set()
        assert differences, f"{op}, {name}: no longer an exception"


#: Every operator of ONNX's own domain that some opset from 7 on has.
ALL = sorted({s.name for s in onnx.defs.get_all_schemas_with_history() if not s.domain and not s.deprecated})
#: Operator -> why it has a reason although ONNX's schemas do not know it.
FOREIGN = {"SimplifiedLayerNormalization": "onnxruntime puts it into ONNX's own domain"}


def has_bodies(op):
    """Whether ONNX defines the operator by others in every opset that it is in."""
    schemas = [schema for opset in OPSETS if (schema := schema_of(op, opset)) is not None]
    return bool(schemas) and all(s.has_function or s.has_context_dependent_function for s in schemas)


def test_every_operator_is_lowered_or_has_a_body_or_a_reason():
    left = set(ALL) - set(OPERATORS) - registry.REASONS.keys()
    assert len(ALL) > 200
    assert {op for op in left if not has_bodies(op)} == set()
    assert registry.REASONS.keys() & set(OPERATORS) == set()
    assert registry.REASONS.keys() - set(ALL) == FOREIGN.keys()
    domains = {s.domain for s in onnx.defs.get_all_schemas_with_history()} - {""}
    assert registry.DOMAINS.keys() - domains == {"com.microsoft"}
    assert domains <= registry.DOMAINS.keys()


@pytest.mark.parametrize("op", registry.REASONS)
def test_what_is_refused_says_why(op):
    schema = schema_of(op, NEWEST)
    names = " ".join(f"x{i}" for i in range(1 if schema is None else schema.min_input))
    one = node(op, names, "y", name="one")
    with pytest.raises(ConversionError) as caught:
        lowered(model([one], {name: ["n", 4] for name in names.split()}, "y", opset=NEWEST))
    assert caught.value.problems == [f"{op} node 'one': this operator is not supported: {registry.REASONS[op]}"]


@pytest.mark.parametrize("domain", registry.DOMAINS)
def test_what_is_refused_in_other_domains_says_why(domain):
    one = node("Thing", "x", "y", name="one", domain=domain)
    with pytest.raises(ConversionError) as caught:
        lowered(model([one], {"x": ["n", 4]}, "y", domains=[domain]))
    assert caught.value.problems == [
        f"{domain}.Thing node 'one': this operator is not supported: {registry.DOMAINS[domain]}"
    ]
