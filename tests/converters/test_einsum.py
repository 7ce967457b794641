# SPDX-License-Identifier: Apache-2.0
"""Einsum: equations of one to three operands beside NumPy's and onnxruntime's."""

import pytest

from build import agree, kinds, lowered, model, node, random
from tinyrnn.converters import ConversionError

EQUATIONS = [
    ("ij->ji", [[3, 4]]),
    ("ij->i", [[3, 4]]),
    ("ij->", [[3, 4]]),
    ("ji", [[3, 4]]),
    ("ij,jk->ik", [[3, 4], [4, 5]]),
    ("ij,jk", [[3, 4], [4, 5]]),
    ("bij,bjk->bik", [[2, 3, 4], [2, 4, 5]]),
    ("bth,bsh->bts", [[2, 3, 4], [2, 5, 4]]),
    ("i,j->ij", [[3], [4]]),
    ("i,i->", [[3], [3]]),
    ("bqhd,bkhd->bhqk", [[2, 3, 2, 4], [2, 5, 2, 4]]),
    ("bhqk,bkhd->bqhd", [[2, 2, 3, 5], [2, 5, 2, 4]]),
    ("ijk,jkl->il", [[2, 3, 4], [3, 4, 5]]),
    ("abc,d->bd", [[2, 3, 4], [5]]),
    ("...ij,...jk->...ik", [[2, 3, 4], [4, 5]]),
    ("...ij,...jk", [[2, 1, 3, 4], [6, 4, 5]]),
    ("...ij,...jk", [[2, 3, 4], [2, 4, 5]]),
    ("ij,jk,kl->il", [[2, 3], [3, 4], [4, 5]]),
    ("bii->bi", [[2, 3, 3]]),
    ("ii,ij->j", [[3, 3], [3, 4]]),
    ("i,jij->j", [[3], [2, 3, 2]]),
    ("ij, ij -> i", [[3, 4], [3, 4]]),
]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
@pytest.mark.parametrize("constant", [True, False])
def test_equations(equation, shapes, constant):
    names = "abc"[: len(shapes)]
    arrays = {n: random(*s, seed=i) for i, (n, s) in enumerate(zip(names, shapes))}
    fixed = {n: arrays.pop(n) for n in names[1:] if constant}
    inputs = {n: list(a.shape) for n, a in arrays.items()}
    proto = model([node("Einsum", " ".join(names), "y", equation=equation)], inputs, "y", fixed)
    # onnxruntime takes no ellipsis that stands for axes of different shapes
    agree(proto, ort="..." not in equation or len({len(s) for s in shapes}) == 1, **arrays)


def test_attention_over_any_length_is_matrix_products():
    nodes = [node("Einsum", "q k", "s", equation="btd,bsd->bts"), node("Einsum", "s k", "y", equation="bts,bsd->btd")]
    proto = model(nodes, {"q": ["b", "t", 4], "k": ["b", "s", 4]}, "y")
    assert kinds(lowered(proto).graph) == "pack dense pack dense"
    agree(proto, q=random(2, 3, 4), k=random(2, 5, 4, seed=1))


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("ii->i", "label 'i' has two lengths"),
        ("ij->ik", "'k' in its result alone"),
        ("ij,jk->ik", "of 2 operands; it has 1"),
        ("ijk->i", "does not name 2 axes"),
        ("i?->i", "cannot be read"),
        ("ij->ii", "a label twice"),
        ("i.j->i", "does not name"),
    ],
)
def test_equations_that_are_refused(equation, message):
    with pytest.raises(ConversionError, match=message):
        lowered(model([node("Einsum", "x", "y", equation=equation)], {"x": [3, 4]}, "y"))
