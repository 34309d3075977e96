"""What a package says to its users, read off its source: every text it can print, and its advice.

Texts that are put together at run time are put together here as far as the source tells: constants
and names for them, f-strings, sums, conditional expressions, joined lists, and arguments of helper
functions, as all callers in the package pass them. What only a run can tell is a `HOLE`.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from hubexport.errors import HubexportError

HOLE = "\0"
"""Stands for a piece of text that is known at run time only."""

ROOT = HubexportError.__name__
_ADVICE_POSITION = 2  # among the arguments of an error
_ADVICE = tuple(inspect.signature(HubexportError).parameters)[_ADVICE_POSITION]
_DEPTH = 8  # names that stand for names
_MOST = 64  # texts of one expression

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Scope: TypeAlias = Function | ast.Module
Texts: TypeAlias = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Text:
    """Something that users can read.

    Attributes:
      module: dotted name of where it is said.
      line: there.
      text: with holes.
      kind: "advice" (what an error says to do), "message" or "docstring".
    """

    module: str
    line: int
    text: str
    kind: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.text.replace(HOLE, '…')!r}"


class Package:
    """The modules of a package, parsed."""

    def __init__(self, sources: Mapping[str, str]):
        """Takes the source of each module by its dotted name."""
        self.trees = {name: ast.parse(source) for name, source in sources.items()}
        self._parents: dict[ast.AST, ast.AST] = {}
        self._module: dict[ast.AST, str] = {}
        self._functions: dict[str, list[Function]] = {}
        self._calls: dict[str, list[ast.Call]] = {}
        self._assigned: dict[tuple[ast.AST, str], list[ast.expr]] = {}
        self._sources: dict[tuple[str, str], tuple[str, str]] = {}
        bases: dict[str, set[str]] = {}
        for module, tree in self.trees.items():
            for node in ast.walk(tree):
                self._module[node] = module
                self._parents |= dict.fromkeys(ast.iter_child_nodes(node), node)
                if isinstance(node, Function):
                    self._functions.setdefault(node.name, []).append(node)
                elif isinstance(node, ast.Call):
                    self._calls.setdefault(_last_name(node.func), []).append(node)
                elif isinstance(node, ast.ClassDef):
                    bases.setdefault(node.name, set()).update(map(_last_name, node.bases))
                elif isinstance(node, ast.ImportFrom) and node.module:
                    for alias in node.names:
                        name = alias.asname or alias.name
                        self._sources[module, name] = node.module, alias.name
            for node in ast.walk(tree):
                for name, value in _assignments(node):
                    self._assigned.setdefault((self._scope(node), name), []).append(value)
        self.errors = {ROOT}
        while more := {name for name, above in bases.items() if above & self.errors} - self.errors:
            self.errors |= more

    def texts(self) -> Iterator[Text]:
        """Everything that the package says; of an error's advice, all forms that it can have."""
        advice = set()
        for call in itertools.chain.from_iterable(self._calls.values()):
            given = self._advice_of(call)
            if given is not None:
                advice.add(given)
                for text in self.evaluate(given):
                    yield self._text(given, text, "advice")
        for tree in self.trees.values():
            for node in ast.walk(tree):
                if self._is_outermost_string(node) and node not in advice:
                    kind = "docstring" if self._is_docstring(node) else "message"
                    for text in self.evaluate(node):
                        yield self._text(node, text, kind)

    def evaluate(self, node: ast.AST) -> Texts:
        """All texts that an expression can be, each once; none for None."""
        return tuple(dict.fromkeys(self._evaluate(node, _DEPTH)))[:_MOST]

    def _text(self, node: ast.AST, text: str, kind: str) -> Text:
        return Text(self._module[node], getattr(node, "lineno", 0), text, kind)

    def _advice_of(self, call: ast.Call) -> ast.expr | None:
        """What a call that makes an error passes as its advice."""
        name = _last_name(call.func)
        if name not in self.errors and not (name == "__init__" and self._in_an_error(call)):
            return None
        for keyword in call.keywords:
            if keyword.arg == _ADVICE:
                return keyword.value
        return call.args[_ADVICE_POSITION] if len(call.args) > _ADVICE_POSITION else None

    def _in_an_error(self, node: ast.AST) -> bool:
        return any(
            isinstance(above, ast.ClassDef) and above.name in self.errors
            for above in self._above(node)
        )

    def _above(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self._parents:
            node = self._parents[node]
            yield node

    def _is_outermost_string(self, node: ast.AST) -> bool:
        if not _is_string(node):
            return False
        above = self._parents[node]
        return not (_is_string(above) or isinstance(above, ast.FormattedValue))

    def _is_docstring(self, node: ast.AST) -> bool:
        return isinstance(self._parents[node], ast.Expr)

    def _evaluate(self, node: ast.AST, depth: int) -> Texts:
        if isinstance(node, ast.Constant):
            return () if node.value is None else (str(node.value),)
        if depth == 0:
            return (HOLE,)
        if isinstance(node, ast.JoinedStr):
            return self._joined("", node.values, depth)
        if isinstance(node, ast.FormattedValue):
            plain = node.conversion == -1 and node.format_spec is None
            return self._evaluate(node.value, depth) if plain else (HOLE,)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._joined("", [node.left, node.right], depth)
        if isinstance(node, ast.IfExp):
            return self._either([node.body, node.orelse], depth)
        if isinstance(node, ast.BoolOp):
            return self._either(node.values, depth)
        if isinstance(node, ast.NamedExpr):
            return self._evaluate(node.value, depth)
        if isinstance(node, ast.Subscript):
            return self._entries(node.value, depth)
        if isinstance(node, ast.Call):
            return self._called(node, depth)
        if isinstance(node, ast.Name):
            return self._named(node, depth - 1)
        return (HOLE,)

    def _either(self, nodes: list[ast.expr], depth: int) -> Texts:
        return tuple(text for node in nodes for text in self._evaluate(node, depth))

    def _joined(self, separator: str, nodes: list[ast.expr], depth: int) -> Texts:
        parts = [self._evaluate(node, depth) or (HOLE,) for node in nodes]
        combinations = itertools.islice(itertools.product(*parts), _MOST)
        return tuple(separator.join(each) for each in combinations)

    def _entries(self, node: ast.expr, depth: int) -> Texts:
        """Of a table that is written out in place, or has a name in this module."""
        if isinstance(node, ast.Name):
            tables = [
                table
                for scope in self._above(node)
                for table in self._assigned.get((scope, node.id), [])
            ]
            node = tables[0] if len(tables) == 1 else node
        if isinstance(node, ast.Dict):
            return self._either(node.values, depth)
        return self._either(node.elts, depth) if isinstance(node, ast.Tuple) else (HOLE,)

    def _called(self, node: ast.Call, depth: int) -> Texts:
        """`"...".join(...)` of a list, or of one entry of a list that is not known."""
        method = node.func
        if not (
            isinstance(method, ast.Attribute)
            and method.attr == "join"
            and isinstance(method.value, ast.Constant)
        ):
            return (HOLE,)
        (listed,) = node.args
        if isinstance(listed, ast.List | ast.Tuple):
            return self._joined(str(method.value.value), listed.elts, depth)
        if isinstance(listed, ast.GeneratorExp | ast.ListComp):
            return self._evaluate(listed.elt, depth)
        return (HOLE,)

    def _named(self, node: ast.Name, depth: int) -> Texts:
        """What a name can stand for: a parameter, a variable, a constant, something imported."""
        for scope in self._above(node):
            if isinstance(scope, Function):
                passed = self._passed(scope, node.id, depth)
                if passed is not None:
                    return passed
            if values := self._assigned.get((scope, node.id)):
                return self._either(values, depth)
        module, name = self._sources.get((self._module[node], node.id), ("", ""))
        if module not in self.trees:
            return (HOLE,)
        return self._either(self._assigned.get((self.trees[module], name), []), depth) or (HOLE,)

    def _scope(self, node: ast.AST) -> ast.AST:
        """The function or module that a statement is in."""
        return next(each for each in self._above(node) if isinstance(each, Scope))

    def _passed(self, function: Function, name: str, depth: int) -> Texts | None:
        """What callers in the package pass for a parameter; None if it is not a parameter."""
        spec = function.args
        positional = [*spec.posonlyargs, *spec.args]
        names = [each.arg for each in positional]
        if name not in [*names, *(each.arg for each in spec.kwonlyargs)]:
            return None
        values: list[ast.expr] = []
        defaults = dict(zip(reversed(names), reversed(spec.defaults), strict=False))
        defaults |= {
            each.arg: default
            for each, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
            if default is not None
        }
        if name in defaults:
            values.append(defaults[name])
        method = isinstance(self._parents[function], ast.ClassDef)
        called = self._parents[function].name if function.name == "__init__" else function.name  # type: ignore[attr-defined]
        skipped = int(method and names[:1] in (["self"], ["cls"]))
        for call in self._calls.get(called, []):
            position = names.index(name) - skipped if name in names else -1
            given = [each.value for each in call.keywords if each.arg == name]
            if 0 <= position < len(call.args):
                given = [call.args[position]]
            values += [each for each in given if not isinstance(each, ast.Starred)]
        return self._either(values, depth) if values else (HOLE,)


def _last_name(node: ast.AST) -> str:
    """`b` of `a.b`, and of `b`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _is_string(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_string(node.left) or _is_string(node.right)
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _assignments(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names and values of `name = value`, `one, other = value, value` and `name := value`."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
        targets = [node.target]
    for target in targets:
        value = node.value  # type: ignore[attr-defined]
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=False))
        for one, its_value in pairs:
            if isinstance(one, ast.Name) and its_value is not None:
                yield one.id, its_value
