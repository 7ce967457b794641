# SPDX-License-Identifier: Apache-2.0
"""The walk over the ONNX nodes: shape inference and lowering in one, with what the functions of ops/ build on."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyrnn.errors import TinyRNNError

from . import dims as dm
from . import registry, values
from .checks import check_alike, check_form, check_types
from .continuation import carried
from .dims import Dim, Size
from .errors import ConversionError, NodeError, PoisonedError
from .fold import fold
from .ir import FLOATS, MAX_RANK, NUMPY_TYPE, Graph, Node, Port, Tensor
from .onnx_model import OnnxInput, OnnxModel, OnnxNode, Subgraph
from .sizes import RestartError, Sizes
from .truth import Truth, combined, compared
from .values import Time, Value

MAX_TENSOR_BYTES = 1 << 30
_NAMES = {v: k for k, v in NUMPY_TYPE.items()}


@dataclass(eq=False, slots=True)
class Recurrence:
    """What the walk remembers of a recurrent operator, for the time axis and the states."""

    label: str
    node: Node
    steps: Size
    rows: Size
    over_time: bool
    reverse: bool


@dataclass(eq=False, slots=True)
class Lead:
    """Steps from before the call that the graph puts before its own: right in a stream if they are its last ones then.

    `node` is the copy of an input into the front of `result`, whose axis `axis` is that of the steps.
    """

    label: str
    node: Node
    axis: int
    operands: tuple[Value, ...]
    result: Value


@dataclass(eq=False, slots=True)
class Mark:
    """How far a walk has come, so that what it tries can be undone."""

    problems: int
    recurrences: int
    leads: int
    streamable: tuple[bool, str]


@dataclass(eq=False)
class Context:
    """One walk: the graph so far, and the building blocks that the functions of ops/ use."""

    model: OnnxModel
    sizes: Sizes
    graph: Graph = field(default_factory=Graph)
    recurrences: list[Recurrence] = field(default_factory=list)
    leads: list[Lead] = field(default_factory=list)
    node: OnnxNode = None  # type: ignore[assignment]
    scope: ChainMap[str, Value | None] = field(default_factory=ChainMap)
    problems: list[str] = field(default_factory=list)
    nodes: list[OnnxNode] = field(default_factory=list)
    _weights: dict[Any, tuple[np.ndarray, Tensor]] = field(default_factory=dict)
    _views: dict[Any, Tensor] = field(default_factory=dict)
    _copies: dict[Any, Value] = field(default_factory=dict)

    # ---- the node at hand ----------------------------------------------------------------------------------------

    @property
    def where(self) -> str:
        """The node at hand, as messages call it."""
        return self.node.label

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute."""
        return self.node.attributes.get(name, default)

    def axis(self, axis: Any, rank: int, what: str = "axis") -> int:
        """An axis counted from the front."""
        if not isinstance(axis, int) or not -rank <= axis < rank:
            raise NodeError(f"{what} {axis} is outside a tensor of rank {rank}")
        return axis % rank

    def integers(self, v: Value | None, what: str) -> list[Size]:
        """The elements of an integer tensor that must be known when converting."""
        if v is not None and v.dtype in ("I64", "I32") and v.rank <= 1:
            sizes = v.sizes()
            if sizes is not None:
                return list(sizes.flat)
            if v.const is not None:
                return [int(x) for x in v.array().flat]
        raise NodeError(f"{what} is not known when converting (it depends on data): bind the input that it comes from")

    def constants(self, v: Value | None, what: str) -> list[int]:
        """The same where no symbol may appear; tried ones go back to their declared values."""
        sizes = self.integers(v, what)
        for s in sizes:
            if not isinstance(s, int):
                self.settle(s)
                raise NodeError(f"{what} depends on the dimension {s}, but must be constant")
        return sizes  # type: ignore[return-value]

    def settle(self, *sizes: Size) -> None:
        """Send the tried dimensions in these sizes back to their declared values; the walk then starts again."""
        self.sizes.bind_hints(self.sizes.tried(*sizes), self.where)

    def numbers(self, sizes: Sequence[Size], need: str) -> list[int]:
        """Sizes that must be numbers; `need` is what a message says where one is not, even at its declared value."""
        known = [s for s in sizes if isinstance(s, int)]
        if len(known) < len(sizes):
            self.settle(*sizes)
            raise NodeError(f"{need}: fix it with --shape")
        return known

    def number(self, size: Size, need: str = "") -> int:
        """The same of one size."""
        return self.numbers((size,), need or f"needs the dimension {size} as a number")[0]

    def equal(self, a: Size, b: Size, what: str) -> None:
        """Require two sizes to be the same."""
        self.sizes.equal(a, b, what, self.where)

    def broadcast(self, *shapes: tuple[Size, ...]) -> tuple[Size, ...]:
        """The common shape by ONNX's rules."""
        first = shapes[0]
        if all(shape == first for shape in shapes):
            return first
        rank = max(map(len, shapes))
        result: list[Size] = [1] * rank
        for shape in shapes:
            for i, d in enumerate(shape, rank - len(shape)):
                result[i] = self.sizes.broadcast(result[i], d, f"shapes {show(*shapes)} do not broadcast", self.where)
        return tuple(result)

    # ---- time ----------------------------------------------------------------------------------------------------

    @property
    def steps(self) -> Dim | None:
        """The time axis's dimension, once it is known."""
        return dm.symbol(self.sizes.time) if self.sizes.time else None

    def has_time(self, *sizes: Size) -> bool:
        """Whether a size depends on the number of steps."""
        return self.sizes.time is not None and any(self.sizes.time in dm.symbols(s) for s in sizes)

    def not_streamable(self, reason: str) -> None:
        """Note why the graph cannot go by step by step; the first reason is kept."""
        if self.graph.streamable:
            self.graph.streamable = False
            self.graph.reason = f"{self.where} {reason}"

    def needs_lead(self, does: str, count: Size) -> None:
        """Note that something stands before the first step of a call that is not what came before it."""
        self.not_streamable(
            f"{does} before the steps of the sequence, where a stream has those of the call before: make them an "
            f"input, joined to the others by Concat, and renewed by an output with the last {count} steps of the result"
        )

    def join_time(self, operands: list[Value], dims: tuple[Size, ...]) -> tuple[Time | None, bool]:
        """(time, late) of an elementwise result; operands are aligned at the right."""
        if self.sizes.time is None:
            return None, False
        found: Time | None = None
        late = False
        for v in operands:
            late |= v.late
            if v.time is not None:
                time = v.time.on(v.time.axis + len(dims) - v.rank)
                if found is not None and found != time:
                    self.not_streamable("combines different steps of the sequence")
                found = found or time
        if found is None and self.has_time(*dims):
            self.not_streamable("mixes the steps of the sequence")
        if found is not None and late:
            self.not_streamable("uses at each step what is known only after the last one")
        return found, late and found is None

    # ---- seeing elements -----------------------------------------------------------------------------------------

    def expand(self, v: Value, dims: tuple[Size, ...]) -> Value:
        """Broadcast v to dims."""
        result = values.expand(v, dims)
        if self.sizes.time and result.time is None and self.steps in dims and not self._is_lost(v):
            if v.late:
                self.not_streamable("spreads over the steps what is known only after the last one")
            result = replace(result, time=Time(dims.index(self.steps)), late=False)
        return result

    def _is_lost(self, v: Value) -> bool:
        return self.has_time(*v.dims)

    def reshape(self, v: Value, dims: tuple[Size, ...]) -> Value:
        """v in another shape of the same size, by moving elements only where it must."""
        time = values.reshape_time(v, dims, self.sizes.time)
        if v.time is not None and time is None:
            self.not_streamable("reshapes the sequence so that its steps are mixed")
        seen = values.reshape(v, dims, time)
        if seen is None:
            seen = values.reshape(self.copied(v), dims, time)
            assert seen is not None
        return seen

    def copied(self, v: Value) -> Value:
        """v with its elements moved together, row-major."""
        if v.const is not None:
            count = dm.product(v.dims)
            if isinstance(count, int) and count * 8 <= MAX_TENSOR_BYTES // 16:
                return replace(v, const=np.ascontiguousarray(v.array()))
        source = self.operand(v)
        known = self._copies.get(id(source))
        if known is None:
            target = self.new(v.dims, source.dtype)
            self.emit("copy", [source], [target])
            known = self._copies[id(source)] = replace(values.of_tensor(target, v.dtype), time=v.time, late=v.late)
        return known

    # ---- tensors and operators -------------------------------------------------------------------------------------

    def new(self, dims: tuple[Size, ...], dtype: str, packing: str = "NONE", panel_width: int = 0) -> Tensor:
        """A new intermediate tensor."""
        self.check_size(dims, dtype)
        return Tensor(
            self.node.outputs[0] if self.node.outputs else "", dtype, dims, "ARENA", None, 0, (), packing, panel_width
        )

    def check_size(self, dims: tuple[Size, ...], dtype: str) -> None:
        """Refuse what no machine this is made for can hold."""
        if len(dims) > MAX_RANK:
            raise NodeError(f"a tensor of shape {show(dims)} has over {MAX_RANK} axes")
        low, _ = dm.bounds(dm.product(dims))
        if low is not None and low * NUMPY_TYPE[dtype].itemsize > MAX_TENSOR_BYTES:
            raise NodeError(f"a tensor of shape {show(dims)} needs over {MAX_TENSOR_BYTES >> 20} MiB")

    def emit(self, kind: str, inputs: list[Tensor | None], outputs: list[Tensor | None], /, **attributes: Any) -> Node:
        """Append an engine operator."""
        name = self.node.name or (self.node.outputs[0] if self.node.outputs else self.node.op)
        made = Node(kind, inputs, outputs, attributes, name)
        self.graph.nodes.append(made)
        return made

    def operand(self, v: Value, rows: bool = False) -> Tensor:
        """The value as an operand of an engine operator, with its last axis contiguous where the kernel wants rows."""
        if v.sym is not None:
            v = self._materialised(v)
        if v.const is not None:
            v = self._stored(_with_rows(v) if rows else v)
        tensor = self._view(v)
        if rows and not tensor.has_rows():
            return self.operand(self.copied(v))
        return tensor

    def _materialised(self, v: Value) -> Value:
        """Sizes as data: each is what the operator `shape` reads off a view of one number with that many elements."""
        assert v.sym is not None
        sizes = list(v.sym.flat)
        key = ("sizes", tuple(sizes))
        flat = self._copies.get(key)
        if flat is None:
            target = self.new((len(sizes),), "I64")
            flat = self._copies[key] = values.of_tensor(target)
            for i, size in enumerate(sizes):
                self._write_size(size, values.slice_axis(flat, 0, i, 1))
        seen = values.reshape(flat, v.sym.shape, None)
        assert seen is not None
        if v.dtype == "I32":
            seen = self.elementwise("I_IDENTITY", seen, dtype="I32")
        return self._broadcast(replace(seen, dtype=v.dtype), v.dims)

    def _write_size(self, size: Size, place: Value) -> None:
        """A dimension cannot be negative, so that of a size which may be, one part is taken from the other.

        Where that cannot be told of the parts either, a run in which the size is negative is a ShapeError.
        """
        if isinstance(size, int):
            number = values.of_array(np.array([size], np.int64), "I64")
            self.emit("copy", [self.operand(number)], [self.operand(place)])
            return
        parts = dm.signed_parts(size)
        if dm.at_most(0, size) or not all(dm.at_most(0, part) for part in parts):
            one = values.of_array(np.zeros((), np.uint8), "U8")
            self.emit("shape", [self.operand(values.expand(one, (size,)))], [self.operand(place)])
            return
        made = [values.of_sizes(values.objects([part])) for part in parts]
        step = ("I_SUB", 0, 1, 0, 0.0, 0.0)
        self.emit("elementwise", [self.operand(p) for p in made], [self.operand(place)], program=[step])

    def _stored(self, v: Value) -> Value:
        """A constant as a tensor in the weights; broadcast axes have stride 0."""
        assert v.const is not None
        const = v.const
        dtype = "F32" if v.dtype in FLOATS else v.dtype
        if dtype not in NUMPY_TYPE:
            raise NodeError(f"uses a constant of type {v.dtype}, which is not supported")

        def make() -> Tensor:
            with np.errstate(over="ignore", invalid="ignore"):
                data = np.ascontiguousarray(const, NUMPY_TYPE[dtype]).reshape(const.shape)
            return self.weights(data)

        tensor = self.once(const, dtype, make)
        whole = replace(values.of_tensor(tensor, v.dtype), time=v.time, late=v.late)
        return self._broadcast(whole, v.dims)

    @staticmethod
    def _broadcast(v: Value, dims: tuple[Size, ...]) -> Value:
        return v if v.dims == dims else values.expand(v, dims)

    def once(self, source: np.ndarray, purpose: str, make: Callable[[], Tensor]) -> Tensor:
        """What `make` makes of an array; the same tensor again for the same elements and purpose.

        A cell that is written out step by step uses its weights at each of them.
        """
        key = (source.__array_interface__["data"][0], source.shape, source.strides, source.dtype.str, purpose)
        if key not in self._weights:
            self._weights[key] = (source, make())  # the array is kept, so that its address stays its own
        return self._weights[key][1]

    def weights(self, data: np.ndarray, packing: str = "NONE", panel_width: int = 0) -> Tensor:
        """A constant tensor as it is to stand in the file."""
        return Tensor("", _NAMES[data.dtype], data.shape, "WEIGHTS", None, 0, (), packing, panel_width, data)

    def _view(self, v: Value) -> Tensor:
        tensor = v.tensor
        assert tensor is not None
        if v.offset == 0 and v.dims == tensor.dims and v.strides == dm.contiguous(tensor.dims):
            return tensor
        self.check_size(v.dims, "BOOL")
        key = (id(tensor), v.offset, v.strides, v.dims)
        if key not in self._views:
            self._views[key] = Tensor("", tensor.dtype, v.dims, "VIEW", tensor, v.offset, v.strides)
        return self._views[key]

    def elementwise(
        self, function: str, *operands: Value, alpha: float = 0.0, beta: float = 0.0, dtype: str = ""
    ) -> Value:
        """One elementwise function over operands broadcast to one shape."""
        dims = self.broadcast(*[v.dims for v in operands])
        time, late = self.join_time(list(operands), dims)
        dtype = dtype or operands[0].dtype
        target = self.new(dims, "F32" if dtype in FLOATS else dtype)
        sources = [self.operand(values.expand(v, dims)) for v in operands]
        step = (function, *range(len(sources)), *[0] * (3 - len(sources)), float(alpha), float(beta))
        self.emit("elementwise", list(sources), [target], program=[step])
        return Value(dtype, dims, target, 0, dm.contiguous(dims), time=time, late=late)

    # ---- the walk ------------------------------------------------------------------------------------------------

    def run(self, inputs: list[OnnxInput], bound: dict[str, np.ndarray]) -> Graph:
        """Lower every node. Raises RestartError where a symbol had to be bound, ConversionError with all problems."""
        self._define(self.model.constants | bound)
        for given in inputs:
            self.scope[given.name] = self._input(given)
        self.nodes = carried(self.model.nodes, self.model.outputs, self.sizes.carried)
        self._walk(self.nodes)
        if self.problems:
            raise ConversionError(self.problems)
        for name in self.model.outputs:
            self._output(name, self.scope[name])
        return self.graph

    def _define(self, constants: dict[str, np.ndarray]) -> None:
        for name, array in constants.items():
            self.scope[name] = values.of_array(array, _NAMES.get(array.dtype, str(array.dtype)))

    def _walk(self, nodes: list[OnnxNode]) -> None:
        for node in nodes:
            self.node = node
            results = self._lower(node, [self.scope[n] if n else _ABSENT for n in node.inputs])
            self.scope.update((n, v) for n, v in zip(node.outputs, results, strict=False) if n)

    def body(self, body: Subgraph) -> list[Value]:
        """Lower the body of a branch where the walk stands; its results. Problems in it poison the node at hand."""
        owner, self.scope = self.node, self.scope.new_child()
        try:
            self._define(body.constants)
            self._walk(body.nodes)
            results = [self.scope[name] for name in body.outputs]
        finally:
            self.node, self.scope = owner, self.scope.parents
        if any(v is None for v in results):
            raise PoisonedError
        return results  # type: ignore[return-value]

    @contextmanager
    def block(self) -> Iterator[list[Node]]:
        """Operators are appended to a block of their own. What is made in it cannot be used outside."""
        outer, copies = self.graph.nodes, dict(self._copies)
        block: list[Node] = []
        self.graph.nodes = block
        try:
            yield block
        finally:
            self.graph.nodes, self._copies = outer, copies

    def mark(self) -> Mark:
        """Where the walk stands now."""
        streamable = self.graph.streamable, self.graph.reason
        return Mark(len(self.problems), len(self.recurrences), len(self.leads), streamable)

    def rewind(self, mark: Mark) -> None:
        """Forget what was noted since; its operators stand in blocks that nobody keeps."""
        del self.problems[mark.problems :], self.recurrences[mark.recurrences :], self.leads[mark.leads :]
        self.graph.streamable, self.graph.reason = mark.streamable

    def assume(self, a: Size, b: Size) -> None:
        """Go on with two sizes as the same; a copy that changes one into the other fails in a run where they differ."""
        if isinstance(a, int):
            a, b = b, a
        names = dm.symbols(a - b)
        if len(names) == 1 and dm.solve(a, b, *names) is not None:
            self.equal(a, b, f"must have {a} = {b}")
        note = f"{self.where}: converted for {a} = {b} only"
        if note not in self.sizes.notes:
            self.sizes.notes.append(note)
        for name, v in list(self.scope.items()):
            if v is None or a not in v.dims:
                continue
            dims = tuple(b if d == a else d for d in v.dims)
            if v.tensor is None:
                self.scope[name] = replace(v, dims=dims)
                continue
            target = self.new(dims, v.tensor.dtype)
            self.emit("copy", [self.operand(v)], [target])
            self.scope[name] = replace(values.of_tensor(target, v.dtype), time=v.time, late=v.late)

    def _lower(self, node: OnnxNode, operands: list[Any]) -> list[Value | None]:
        """The outputs of a node; None for each after a problem, which poisons what hangs on it."""
        nothing: list[Value | None] = [None] * len(node.outputs)
        row = registry.find(node.domain, node.op, node.version)
        arguments = [None if v is _ABSENT else v for v in operands]
        while operands and operands[-1] is _ABSENT:
            operands.pop()
            arguments.pop()
        broken = any(v is None for v in operands)
        try:
            if row is not None and not broken:
                check_form(node, row, len(operands))
                check_alike(node, row, arguments)
            if not broken:
                folded = fold(node, arguments)
                if folded is not None:
                    return folded + nothing[len(folded) :]
            if row is None:
                raise NodeError(_unsupported(node, self.model.missing.get(node.op, [])))
            if broken:
                return nothing
            check_types(node, row, arguments)
            arguments += [None] * (len(row.inputs) - len(arguments))
            if node.domain == "" and node.op in COMPARISONS:
                self.settle(*_sizes_in(arguments))
            results = row.function(self, node, *arguments)
            if node.domain == "" and isinstance(results, Value):
                results.truth = results.truth or _truth(node.op, arguments)
            results = results if isinstance(results, list) else [results]
            for name, v in zip(node.outputs, results, strict=False):
                if name and v is None:
                    raise NodeError(f"output {name!r} is not supported")
            return results + nothing[len(results) :]
        except RestartError:
            raise
        except PoisonedError:
            pass
        except (NodeError, TinyRNNError) as e:
            self.problems.append(f"{node.label}: {e}")
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, AssertionError) as e:
            # What a file may say and no lowering has foreseen: an odd type or value in an attribute.
            self.problems.append(f"{node.label}: cannot be converted ({type(e).__name__}: {e})")
        return nothing

    def _input(self, given: OnnxInput) -> Value:
        assert given.dims is not None
        self.node = OnnxNode("input", "", given.name, [], [given.name], {}, 0)
        dims = tuple(self.sizes.now(d if isinstance(d, int) else dm.symbol(str(d))) for d in given.dims)
        try:
            self.check_size(dims, given.dtype)
        except NodeError as e:
            raise ConversionError([f"input {given.name!r}: {e}"]) from None
        tensor = Tensor(given.name, given.dtype, dims, "INPUT")
        time_axis = dims.index(self.steps) if self.steps in dims else -1
        batch = dm.symbol(self.sizes.batch) if self.sizes.batch else None
        self.graph.inputs.append(Port(given.name, tensor, None, time_axis, dims.index(batch) if batch in dims else -1))
        v = values.of_tensor(tensor)
        if time_axis >= 0:
            v = replace(v, time=Time(time_axis))
        if given.dtype in ("F16", "F64"):
            v = replace(self.elementwise("IDENTITY", v, dtype="F32"), dtype=given.dtype)
        return v

    def _output(self, name: str, v: Value | None) -> None:
        assert v is not None
        self.node = OnnxNode("output", "", name, [], [name], {}, 0)
        if v.dtype not in NUMPY_TYPE:
            raise ConversionError([f"output {name!r} has the type {v.dtype}, which is not supported"])
        try:
            source = self.operand(v)
            self.check_size(v.dims, v.dtype)
        except NodeError as e:
            raise ConversionError([f"output {name!r}: {e}"]) from None
        target = Tensor(name, v.dtype, v.dims, "OUTPUT")
        if source.dtype == target.dtype:
            self.emit("copy", [source], [target])
        else:
            self.emit("elementwise", [source], [target], program=[("IDENTITY", 0, 0, 0, 0.0, 0.0)])
        axis = v.time.axis if v.time and v.dims[v.time.axis] == self.steps else -1
        if axis < 0 and self.has_time(*v.dims):
            self.not_streamable("has no axis of its own for the steps of the sequence")
            axis = v.dims.index(self.steps) if self.steps in v.dims else -1
        batch = dm.symbol(self.sizes.batch) if self.sizes.batch else None
        self.graph.outputs.append(Port(name, target, None, axis, v.dims.index(batch) if batch in v.dims else -1))


_ABSENT = object()


def show(*shapes: tuple[Size, ...]) -> str:
    """Shapes as text, for messages."""
    return " and ".join("[" + ", ".join(str(d) for d in shape) + "]" for shape in shapes)


#: Whoever compares static sizes means those that were declared.
COMPARISONS = frozenset(["Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"])


def _with_rows(v: Value) -> Value:
    """A constant whose last axis is stored, where it is short: that spares a copy at run time."""
    assert v.const is not None
    length = v.dims[-1] if v.dims else 1
    if v.const.shape[-1:] != (1,) or not isinstance(length, int) or max(length, v.const.size) > 1 << 12:
        return v
    return replace(v, const=np.repeat(v.const, length, axis=-1))


def _sizes_in(operands: list[Any]) -> list[Size]:
    return [s for v in operands if v is not None and v.sym is not None for s in v.sym.flat]


def _truth(op: str, operands: list[Any]) -> Truth | None:
    """What is known of a bool that a node makes of sizes, or of such bools."""
    if op in COMPARISONS:
        sizes: list[Size] = []
        for v in operands:
            array = v.sym if v.sym is not None else v.const
            if array is None or array.size != 1 or array.dtype.kind == "f":
                return None
            sizes.append(array.reshape(-1)[0] if v.sym is not None else int(array.reshape(-1)[0]))
        return compared(op, *sizes)
    known = [v.truth for v in operands if v is not None and v.truth is not None]
    return combined(op, known) if known and len(known) == len(operands) else None


def _unsupported(node: OnnxNode, missing: list[str]) -> str:
    if registry.supported(node.domain, node.op):
        return f"the operator is not supported in opset {node.version}"
    reason = registry.DOMAINS.get(node.domain) if node.domain else registry.REASONS.get(node.op)
    if reason is not None:
        return f"this operator is not supported: {reason}"
    if node.domain:
        return f"operators of the domain {node.domain!r} are not supported; export the model with ONNX's own"
    if missing:
        return f"this operator is not supported: ONNX defines it by others, of which {', '.join(missing)} is missing"
    return "this operator is not supported"
