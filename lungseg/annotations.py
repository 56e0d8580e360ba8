"""Plain values checked against the type annotations of a signature, as source text gives them."""

from __future__ import annotations

import ast
from typing import Any

from lungseg.errors import near_name
from lungseg.signatures import Argument, Missing, Module, Unknown, resolve

LISTS = {"list", "List", "Sequence", "Iterable", "Collection", "MutableSequence", "set", "Set", "frozenset"}
TUPLES = {"tuple", "Tuple"}
MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping", "OrderedDict"}
PATHS = {"Path", "PathLike", "_PATH"}
ANYTHING = {"Any", "object", "Callable", "Self", "type", "Type"}
OPEN_BASES = {"Enum", "IntEnum", "StrEnum", "str", "int", "float", "dict", "Protocol", "TypedDict", "NamedTuple"}
"""Bases of classes that a plain value may satisfy after all."""
SAMPLES: dict[str, Any] = {"bool": True, "number": -1.5, "list": []}


def mismatch(argument: Argument, value: Any) -> str | None:
    """Return what is wrong with a value for an argument, None when it fits or cannot be judged.

    Nodes with a `_target_` become objects and are not judged, nor are missing values (`???`).
    """
    if argument.annotation is None or _is_open(value):
        return None
    if value is None and isinstance(argument.default, ast.Constant) and argument.default.value is None:
        return None
    if fits(argument.annotation, argument.module, value):
        return None
    choices = literals(argument.annotation, argument.module)
    if choices and not isinstance(value, list | dict):
        names = list(dict.fromkeys(str(choice) for choice in choices))
        kinds = [f"a {kind}" for kind, one in SAMPLES.items() if fits(argument.annotation, argument.module, one)]
        text = f"is none of {', '.join([*names, *kinds])}"
        near = near_name(str(value), names)
        return text + (f"; did you mean {near}?" if near else "")
    text = f"is of type {type(value).__name__}, not {written(argument.annotation)}"
    if isinstance(value, int | float) and fits(argument.annotation, argument.module, str(value)):
        text += f"; to give it as text, quote it twice: '\"{value}\"'"
    return text


def fits(annotation: ast.expr, module: Module, value: Any, depth: int = 0) -> bool:
    """Say whether a plain value may satisfy an annotation; True when source text does not tell."""
    if depth > 20 or _is_open(value):
        return True
    if isinstance(annotation, ast.Constant):
        if annotation.value is None:
            return value is None
        if isinstance(annotation.value, str):
            return fits(ast.parse(annotation.value, mode="eval").body, module, value, depth + 1)
        return True
    if isinstance(annotation, ast.BinOp):
        return any(fits(side, module, value, depth + 1) for side in (annotation.left, annotation.right))
    if isinstance(annotation, ast.Subscript):
        return _fits_subscript(annotation, module, value, depth)
    if isinstance(annotation, ast.Name | ast.Attribute):
        return _fits_name(annotation, module, value, depth)
    return True


def _fits_name(annotation: ast.Name | ast.Attribute, module: Module, value: Any, depth: int) -> bool:
    name = ast.unparse(annotation).rpartition(".")[2]
    simple = _fits_simple(name, value)
    if simple is not None:
        return simple
    try:
        owner, node = resolve(module, annotation)
    except (Unknown, Missing):
        return True
    if isinstance(node, ast.ClassDef):  # an object; a plain value cannot be one, unless the class is a kind of value
        return any(ast.unparse(base).rpartition(".")[2] in OPEN_BASES for base in node.bases)
    if isinstance(node, ast.expr):  # an alias such as Kind = Literal["a", "b"]
        return fits(node, owner, value, depth + 1)
    return True


def _fits_simple(name: str, value: Any) -> bool | None:
    """Judge a value by the bare name of a type; None when the name is not one of the simple ones."""
    if name in ANYTHING:
        return True
    if name == "bool":
        return isinstance(value, bool)
    if name == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if name == "str" or name in PATHS:
        return isinstance(value, str)
    if name in LISTS | TUPLES:
        return isinstance(value, list | tuple)
    if name in MAPPINGS:
        return isinstance(value, dict)
    return None


def _fits_subscript(annotation: ast.Subscript, module: Module, value: Any, depth: int) -> bool:
    name = ast.unparse(annotation.value).rpartition(".")[2]
    inner = annotation.slice
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Optional":
        return value is None or fits(inner, module, value, depth + 1)
    if name == "Union":
        return any(fits(part, module, value, depth + 1) for part in parts)
    if name == "Literal":
        choices = [part.value for part in parts if isinstance(part, ast.Constant)]
        return any(value == choice and type(value) is type(choice) for choice in choices)
    if name in {"Annotated", "Final", "ClassVar", "Required", "NotRequired"}:
        return fits(parts[0], module, value, depth + 1)
    if name in LISTS:
        return isinstance(value, list | tuple) and all(fits(inner, module, item, depth + 1) for item in value)
    if name in TUPLES:
        if not isinstance(value, list | tuple):
            return False
        if len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is ...:
            return all(fits(parts[0], module, item, depth + 1) for item in value)
        return len(value) == len(parts) and all(
            fits(part, module, item, depth + 1) for part, item in zip(parts, value, strict=True)
        )
    if name in MAPPINGS:
        if not isinstance(value, dict):
            return False
        return len(parts) != 2 or all(fits(parts[1], module, item, depth + 1) for item in value.values())
    return True


def literals(annotation: ast.expr, module: Module, depth: int = 0) -> list[Any]:
    """Return the choices an annotation lists by `Literal`, through aliases and unions; [] when it takes more."""
    if depth > 20:
        return []
    if isinstance(annotation, ast.BinOp):
        return [c for side in (annotation.left, annotation.right) for c in literals(side, module, depth + 1)]
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return literals(ast.parse(annotation.value, mode="eval").body, module, depth + 1)
    if isinstance(annotation, ast.Subscript):
        name = ast.unparse(annotation.value).rpartition(".")[2]
        inner = annotation.slice
        parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if name == "Literal":
            return [part.value for part in parts if isinstance(part, ast.Constant)]
        if name in {"Union", "Optional", "Annotated", "Final"}:
            return [choice for part in parts for choice in literals(part, module, depth + 1)]
    if isinstance(annotation, ast.Name | ast.Attribute):
        try:
            owner, node = resolve(module, annotation)
        except (Unknown, Missing):
            return []
        if isinstance(node, ast.expr):
            return literals(node, owner, depth + 1)
    return []


def written(annotation: ast.expr) -> str:
    """Write an annotation for a reader.

    Example:
        >>> written(ast.parse("Optional[Union[int, 'str']]", mode="eval").body)
        'int | str | None'
    """
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    if isinstance(annotation, ast.Subscript):
        name = ast.unparse(annotation.value).rpartition(".")[2]
        inner = annotation.slice
        parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if name in {"Optional", "Union"}:
            return " | ".join([*(written(part) for part in parts), *(["None"] if name == "Optional" else [])])
    return ast.unparse(annotation)


def _is_open(value: Any) -> bool:
    """Say whether a value is not known yet: missing, or an object that a `_target_` will make."""
    return value == "???" or (isinstance(value, dict) and "_target_" in value)
