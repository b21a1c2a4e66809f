"""Faults in Python: an operator, a condition, a literal, an operand, a member or a statement is another or is gone.

Left alone, because no fault of authorisation lies in them: docstrings, messages (texts with blanks), annotations,
imports, decorators, names of type variables.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from tests.mutants.mutant import Mutant

_COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt, ast.GtE),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_BINARY: dict[type[ast.operator], type[ast.operator]] = {
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
}
_BUILTINS = {"all": "any", "any": "all", "min": "max", "max": "min"}
# Where nothing is to be changed below: what only types or documents.
_SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "type_comment", "type_params"}
_SKIPPED_NODES = (ast.Import, ast.ImportFrom, ast.JoinedStr)


def faults(path: str, text: str) -> Iterator[Mutant]:
    """Every fault of one module, in the order of its text."""
    tree = ast.parse(text)
    for node, put in _places(tree, lambda _: None):
        before = ast.unparse(node)
        for changed in _changes(node):
            put(changed)
            mutated = ast.unparse(ast.fix_missing_locations(tree))
            after = "(gone)" if isinstance(changed, ast.Pass) else ast.unparse(changed)
            put(node)
            yield Mutant(path, getattr(node, "lineno", 0), f"{_short(before)} -> {_short(after)}", mutated)


Put = Callable[[Any], None]


def _places(node: ast.AST, put: Put) -> Iterator[tuple[Any, Put]]:
    """Each node that may be changed, and how another is put in its place."""
    if isinstance(node, _SKIPPED_NODES) or _is_typing(node):
        return
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
        # What is unpacked: each part by itself, for a list that is too short never runs.
        for position, part in enumerate(list(node.value.elts)):
            yield from _places(part, lambda new, at=node.value.elts, k=position: at.__setitem__(k, new))  # type: ignore[misc]
        return
    if isinstance(node, ast.expr | ast.stmt):
        yield node, put
    for name, value in ast.iter_fields(node):
        if name in _SKIPPED_FIELDS:
            continue
        in_literal = isinstance(node, ast.Tuple | ast.List | ast.Set) and len(node.elts) > 1
        if isinstance(value, ast.AST):
            yield from _places(value, lambda new, at=node, name=name: setattr(at, name, new))  # type: ignore[misc]
        elif isinstance(value, list):
            for position, child in enumerate(list(value)):
                if in_literal and isinstance(child, ast.Constant):
                    continue  # a member that is gone says the same as one that is misspelt
                if isinstance(child, ast.AST) and not _is_docstring(child):
                    yield from _places(child, lambda new, at=value, k=position: at.__setitem__(k, new))  # type: ignore[misc]


def _changes(node: Any) -> Iterator[ast.AST]:
    if isinstance(node, ast.expr):
        yield from _of_expression(node)
    elif isinstance(node, ast.If | ast.While):
        for value in (True, False):
            yield type(node)(ast.Constant(value=value), node.body, node.orelse)
        if not isinstance(node.test, ast.Compare | ast.UnaryOp):
            yield type(node)(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    elif (
        isinstance(node, ast.Raise | ast.AugAssign | ast.Delete)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
        or (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript))
    ):
        yield ast.Pass()
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield ast.Return(ast.Constant(value=None))


def _of_expression(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in _COMPARE.get(type(node.ops[0]), ()):
            yield ast.Compare(node.left, [other()], node.comparators)
    elif isinstance(node, ast.Compare):
        for position, op in enumerate(node.ops):
            for other in _COMPARE.get(type(op), ())[:1]:
                ops = [*node.ops[:position], other(), *node.ops[position + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        for position in range(len(node.values)):
            rest = [*node.values[:position], *node.values[position + 1 :]]
            yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        yield ast.BinOp(node.left, _BINARY[type(node.op)](), node.right)
        yield node.left
        yield node.right
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert | ast.USub):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node.value)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _BUILTINS:
        yield ast.Call(ast.Name(_BUILTINS[node.func.id], ast.Load()), node.args, node.keywords)
    else:
        yield from _of_collection(node)


def _of_constant(value: object) -> Iterator[ast.expr]:
    if isinstance(value, bool):
        yield ast.Constant(value=not value)
    elif isinstance(value, int):
        yield ast.Constant(value=value + 1)
    elif isinstance(value, str) and " " not in value:
        yield ast.Constant(value=f"{value}X" if value else "X")


def _of_collection(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Tuple | ast.List | ast.Set) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        if len(node.elts) > 1:
            for position in range(len(node.elts)):
                rest = [*node.elts[:position], *node.elts[position + 1 :]]
                yield type(node)(elts=rest, ctx=ast.Load()) if not isinstance(node, ast.Set) else ast.Set(rest)
    elif isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        for position, part in enumerate(node.generators):
            for left_out in range(len(part.ifs)):
                rest = [*part.ifs[:left_out], *part.ifs[left_out + 1 :]]
                loops = list(node.generators)
                loops[position] = ast.comprehension(part.target, part.iter, rest, part.is_async)
                yield type(node)(node.elt, loops)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_typing(node: ast.AST) -> bool:
    if isinstance(node, ast.AnnAssign):
        return node.value is None or (isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias")
    called = node.value if isinstance(node, ast.Assign) else None
    return isinstance(called, ast.Call) and isinstance(called.func, ast.Name) and called.func.id in ("TypeVar", "cast")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else f"{line[:87]}..."
