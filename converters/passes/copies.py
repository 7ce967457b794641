# SPDX-License-Identifier: Apache-2.0
"""Lets a producer write straight into the place where a `copy` would move its result.

    a = recurrent(...)                 a is a view of out, with the strides of the copy's destination:
    out[t, b, :] = copy(a[t, 0, b, :])       ->      out(strides) = recurrent(...)

The root of the source becomes a view of the root of the destination, and so does each of its views. It needs: a
source that is all of its root, once; kernels that take the new strides; and a root that is the engine's own (ARENA).
Several copies do together what one does where their sources are the slices of a root, and their places evenly spaced:

    -, h, - = recurrent(x, ...)        h is [2, B, H], out is [B, 2H]
    out[:, :H] = copy(h[0])                 ->      -, out(strides H, 2H, 1), - = recurrent(x, ...)
    out[:, H:] = copy(h[1])
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

from tinyrnn import format as fmt

from .. import dims as dm
from ..dims import Size
from ..ir import Graph, Node, Tensor
from .uses import Uses


@dataclass(frozen=True, slots=True)
class Place:
    """Where the elements of a root lie now: offset and one stride for each of its axes, in elements of another root."""

    root: Tensor
    offset: Size
    strides: tuple[Size, ...]


def eliminate_copies(graph: Graph) -> list[str]:
    """One walk over the copies, from the last to the first, so that chains of them end at the outermost root."""
    uses = Uses.of(graph)
    gone: set[int] = set()
    for node in reversed(graph.nodes):
        if node.kind == "copy" and id(node) not in gone:
            gone |= {id(n) for n in _eliminate(node, uses)}
    done = [f"{n.name}: its source is written in place" for n in graph.nodes if id(n) in gone]
    graph.nodes = [n for n in graph.nodes if id(n) not in gone]
    return done


_STORED = {"INPUT": "an input", "WEIGHTS": "a constant", "STATE": "a state", "OUTPUT": "an output as well"}


def copies_left(graph: Graph) -> list[str]:
    """Every copy of a graph, and why it is there."""
    lines = []
    for node in graph.all_nodes():
        source, target = node.inputs[0] if node.inputs else None, node.outputs[0] if node.outputs else None
        if node.kind == "copy" and source is not None and target is not None:
            lines.append(f"{node.name}: {_why(source, target)}")
    return lines


def _why(source: Tensor, target: Tensor) -> str:
    if source.dims != target.dims:
        return f"fails in a run where {list(source.dims)} is not {list(target.dims)}"
    if source.base.storage in _STORED:
        return f"its source is {_STORED[source.base.storage]}"
    if target.root is None and target.storage == "ARENA":
        return "a kernel wants its elements together"
    return "its source is used in a form that the place it goes to does not have"


def _eliminate(copy: Node, uses: Uses) -> list[Node]:
    """The copies that are no longer needed: this one and those of the other slices, or none."""
    source, target = copy.inputs[0], copy.outputs[0]
    assert source is not None
    assert target is not None
    if source.dims != target.dims:
        return []  # it is there to fail in a run where they differ
    old = source.base
    if old.storage != "ARENA" or old.packing != "NONE" or old is target.base or id(old) in uses.pinned:
        return []
    place, copies = _placed(source, target), [copy]
    if place is None:
        copies = _slices(old, target.base, uses)
        place = _placed_together(old, copies)
    if place is None or not relocate(old, place, copies, uses):
        return []
    return copies


def relocate(old: Tensor, place: Place, copies: list[Node], uses: Uses) -> bool:
    """Let old and its views lie at `place`, without `copies`. False, and nothing changed, where kernels refuse."""
    views = list(uses.views[id(old)].values())
    moved: list[tuple[Tensor, Size, tuple[Size, ...]]] = []
    for view in views:
        seen = rebase(view, old.dims, place)
        if seen is None:
            return False
        moved.append((view, *seen))
    before = [(t, t.storage, t.root, t.offset, t.strides) for t in (*views, old)]
    for view, offset, strides in moved:
        view.root, view.offset, view.strides = place.root, offset, strides
    old.storage, old.root, old.offset, old.strides = "VIEW", place.root, place.offset, place.strides
    users = [n for n in uses.readers[id(old)] + uses.writers[id(old)] if n not in copies]
    if not all(_layouts_hold(n) for n in users):
        for t, storage, root, offset, strides in before:
            t.storage, t.root, t.offset, t.strides = storage, root, offset, strides
        return False
    _join(uses, old, place.root, copies, moved)
    return True


def _join(uses: Uses, old: Tensor, root: Tensor, copies: list[Node], moved: list[Any]) -> None:
    """Book everything of old under the root that it now lies in."""
    key, new = id(old), id(root)
    uses.views[new].update({id(t): t for t, *_ in moved} | {id(old): old})
    uses.readers[new] += [n for n in uses.readers.pop(key, []) if n not in copies]
    uses.writers[new] = [n for n in uses.writers[new] if n not in copies] + uses.writers.pop(key, [])
    uses.views.pop(key, None)


def _layouts_hold(node: Node) -> bool:
    """Whether the kernels take the strides that the operands have now."""
    for user in node.nested():
        row = fmt.OPERATORS[user.kind]
        pairs = [*zip(row.inputs, user.inputs, strict=False), *zip(row.outputs, user.outputs, strict=False)]
        if any(
            t is not None and operand.layout != "any" and t.packing == "NONE" and not t.has_rows()
            for operand, t in pairs
        ):
            return False
    return True


def _placed(source: Tensor, target: Tensor) -> Place | None:
    """Where each axis of source's root lies in target's root, when source shows every element of its root once."""
    strides = None if source.offset != 0 else _strides(source, target, source.base.dims)
    return None if strides is None else Place(target.base, target.offset, strides)


def _strides(source: Tensor, target: Tensor, dims: tuple[Size, ...]) -> tuple[Size, ...] | None:
    """The strides in target's root of each axis of source's root, whose lengths are dims or, where not shown, 1."""
    strides: list[Size | None] = [0 if d == 1 else None for d in dims]
    contiguous = dm.contiguous(source.base.dims)
    for length, step, to in _joined(source, target):
        covered = _axes_of(length, step, dims, contiguous)
        if covered is None:
            return None
        for axis in covered:  # from the innermost out
            if strides[axis] is not None:
                return None
            strides[axis] = to
            to = to * dims[axis]
    found = [s for s in strides if s is not None]
    return tuple(found) if len(found) == len(strides) else None


def _joined(source: Tensor, target: Tensor) -> list[tuple[Size, Size, Size]]:
    """Length and both strides of each axis of a copy; axes that nest on both sides are one."""
    axes: list[tuple[Size, Size, Size]] = []
    for length, step, to in zip(source.dims, source.step, target.step, strict=True):
        if length == 1:
            continue
        if axes and axes[-1][1:] == (step * length, to * length):
            axes[-1] = (axes[-1][0] * length, step, to)
        else:
            axes.append((length, step, to))
    return axes


def _slices(old: Tensor, root: Tensor, uses: Uses) -> list[Node]:
    """The copies from one root to another."""
    found = []
    for node in uses.readers[id(old)]:
        target = node.outputs[0] if node.kind == "copy" else None
        if target is not None and target.base is root:
            found.append(node)
    return found


def _placed_together(old: Tensor, copies: list[Node]) -> Place | None:
    """Where the axes of a root lie in another, when each copy moves one index of an axis, and all are moved."""
    parts = {n.inputs[0].offset: (n.inputs[0], n.outputs[0]) for n in copies if n.inputs[0] and n.outputs[0]}
    first = parts.get(0)
    for axis, (count, row) in enumerate(zip(old.dims, dm.contiguous(old.dims), strict=True)):
        second = parts.get(row)
        if first is None or second is None or count != len(copies) or len(parts) < len(copies):
            continue
        source, target = first
        assert target is not None
        assert second[1] is not None
        strides = _strides(source, target, (*old.dims[:axis], 1, *old.dims[axis + 1 :]))
        if strides is None:
            continue
        apart = second[1].offset - target.offset
        place = Place(target.base, target.offset, (*strides[:axis], apart, *strides[axis + 1 :]))
        if all(t is not None and _is_at(s, t, old.dims, place) for s, t in parts.values()):
            return place
    return None


def _is_at(source: Tensor, target: Tensor, dims: tuple[Size, ...], place: Place) -> bool:
    """Whether a view of a root, once that lies at `place`, shows what target does."""
    seen = source if source.root is not None else replace(source, strides=source.step)
    moved = rebase(seen, dims, place)
    if moved is None or moved[0] != target.offset:
        return False
    return all(d == 1 or a == b for d, a, b in zip(target.dims, moved[1], target.step, strict=True))


def _axes_of(length: Size, step: Size, dims: tuple[Size, ...], contiguous: tuple[Size, ...]) -> list[int] | None:
    """The axes of a root, innermost first, that an axis of a view with this length and stride runs through whole."""
    for axis in range(len(dims) - 1, -1, -1):
        if dims[axis] == 1 or contiguous[axis] != step:
            continue
        covered = []
        total: Size = 1
        for outer in range(axis, -1, -1):
            if total == length:
                break
            if dims[outer] != 1:
                covered.append(outer)
                total = total * dims[outer]
        return covered if total == length else None
    return None


def rebase(view: Tensor, dims: tuple[Size, ...], place: Place) -> tuple[Size, tuple[Size, ...]] | None:
    """(offset, strides) of a view of a root of these dims, once the root lies at `place`; None where it has none."""
    contiguous = dm.contiguous(dims)
    strides: list[Size] = []
    for length, step in zip(view.dims, view.strides, strict=True):
        moved = 0 if length == 1 or step == 0 else _moved_stride(length, step, dims, contiguous, place)
        if moved is None:
            return None
        strides.append(moved)
    offset = _moved_offset(view.offset, dims, contiguous, place)
    return None if offset is None else (offset, tuple(strides))


def _moved_stride(
    length: Size, step: Size, dims: tuple[Size, ...], contiguous: tuple[Size, ...], place: Place
) -> Size | None:
    covered = _axes_of(length, step, dims, contiguous)
    if covered:
        for inner, outer in itertools.pairwise(covered):
            if place.strides[outer] != place.strides[inner] * dims[inner]:
                return None
        return place.strides[covered[0]]
    for axis, unit in enumerate(contiguous):
        times = dm.exact_div(step, unit)
        if dims[axis] != 1 and isinstance(times, int) and dm.at_most(abs(times) * (length - 1) + 1, dims[axis]):
            return times * place.strides[axis]
    return None


def _moved_offset(offset: Size, dims: tuple[Size, ...], contiguous: tuple[Size, ...], place: Place) -> Size | None:
    moved, rest = place.offset, offset
    for axis, unit in enumerate(contiguous):
        if dims[axis] == 1:
            continue
        if isinstance(rest, int) and isinstance(unit, int):
            count: Size = rest // unit
        else:
            count = _whole_part(rest, unit)
        if count != 0 and not dm.at_most(count, dims[axis] - 1):
            return None
        moved = moved + count * place.strides[axis]
        rest = rest - count * unit
    return moved if rest == 0 else None


def _whole_part(size: Size, unit: Size) -> Size:
    """size / unit where that is exact, else the sum of the terms of size that are multiples of unit, divided by it."""
    whole = dm.exact_div(size, unit)
    if whole is not None or isinstance(size, int):
        return 0 if whole is None else whole
    total: Size = 0
    for monomial, c in size.terms:
        part = dm.exact_div(dm.Dim(((monomial, c),)) if monomial else c, unit)
        total = total + (0 if part is None else part)
    return total
