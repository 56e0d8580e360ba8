"""Signatures of `_target_` classes and functions, read from source text.

A mistyped key below a `_target_` must be refused before anything heavy is imported, so nothing is imported here at all:
files are found from the place of the top-level package alone, parsed with `ast`, and names are followed through
`import` statements to where they are defined. What cannot be told that way (compiled modules, names made at run time)
is left to the constructor.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lungseg.errors import ConfigError, near_name

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

EMPTY_INITS = {("torch.nn.modules.module", "Module")}
"""Classes whose `__init__(*args, **kwargs)` refuses every argument in fact."""


@dataclass(frozen=True)
class Module:
    """One parsed source file.

    Args:
        name: dotted name, of the package for an `__init__.py`.
        path: the file.
        names: what stands at its top level: a definition, an assigned expression, or (module, attribute) of an import,
            the attribute None for `import module as name`.
        stars: modules of `from module import *`.
        dynamic: it has a module-level `__getattr__`, so that more names may exist.
    """

    name: str
    path: Path
    names: dict[str, ast.AST | tuple[str, str | None]] = field(repr=False)
    stars: tuple[str, ...] = ()
    dynamic: bool = False


@dataclass(frozen=True)
class Argument:
    """One argument of a target.

    Args:
        name: its name.
        annotation: of its type, None when there is none.
        default: expression of the default, None when the argument is required.
        module: the module it is written in, which gives the annotation's names their meaning.
    """

    name: str
    annotation: ast.expr | None
    default: ast.expr | None
    module: Module


@dataclass(frozen=True)
class Signature:
    """What a target can be called with.

    Args:
        target: dotted name as the configuration gives it.
        arguments: by name, those that a keyword can set.
        is_open: it takes `**kwargs`, so that other names may be legal too.
        path: file of the definition.
    """

    target: str
    arguments: dict[str, Argument]
    is_open: bool
    path: Path


class Unknown(Exception):  # noqa: N818  (not an error: source text does not tell)
    """What a name stands for cannot be told from source text."""


class Missing(Exception):  # noqa: N818  (turned into a ConfigError with its origin by the caller)
    """A module has no such name.

    Args:
        name: the name.
        module: where it was looked for.
    """

    def __init__(self, name: str, module: Module) -> None:
        super().__init__(name)
        self.name = name
        self.module = module


@functools.cache
def signature(target: str) -> Signature | None:
    """Return the signature of a dotted name, or None when source text does not tell it.

    Raises:
        ConfigError: there is no such package, module or name.

    Example:
        >>> sorted(signature("lungseg.errors.near_name").arguments)
        ['name', 'options']
        >>> signature("math.sqrt") is None  # compiled
        True
    """
    try:
        module, node = find(target)
        if isinstance(node, ast.ClassDef):
            arguments, is_open = class_arguments(module, node)
        else:
            arguments, is_open = function_arguments(module, node)
    except Unknown:
        return None
    except Missing as error:
        near = near_name(error.name, public_names(error.module))
        hint = f"; did you mean {error.module.name}.{near}?" if near else ""
        msg = f"{target}: {error.module.name} has no `{error.name}`{hint}"
        raise ConfigError(msg) from None
    return Signature(target, arguments, is_open, module.path)


def find(target: str) -> tuple[Module, Definition]:
    """Follow a dotted name to the class or function it stands for.

    Raises:
        ConfigError: its package or module does not exist.
        Missing: the module has no such name.
        Unknown: source text does not tell.
    """
    parts = target.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        msg = f"`{target}` is not the dotted name of a class or function, such as lungseg.models.resunet.ResUNet"
        raise ConfigError(msg)
    for cut in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:cut])
        if locate(name) is None:
            continue
        module = parse(name)
        if cut < len(parts) - 1 and parts[cut] not in module.names and not module.stars and not module.dynamic:
            near = near_name(parts[cut], submodules(module))
            hint = f"; did you mean {name}.{near}?" if near else ""
            msg = f"{target}: there is no module {name}.{parts[cut]}{hint}"
            raise ConfigError(msg)
        owner, node = lookup(module, parts[cut])
        for attribute in parts[cut + 1 :]:
            node = _attribute(owner, node, attribute)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            return owner, node
        raise Unknown(target)
    if _top_spec(parts[0]) is None:
        msg = f"{target}: there is no package `{parts[0]}`; install it, or correct the name"
        raise ConfigError(msg)
    raise Unknown(target)


def lookup(module: Module, name: str, seen: frozenset[tuple[str, str]] = frozenset()) -> tuple[Module, ast.AST]:
    """Return the definition or the assigned expression behind a top-level name, following imports.

    Raises:
        Missing: there is none.
        Unknown: source text does not tell.
    """
    if (module.name, name) in seen:
        raise Unknown(name)
    seen = seen | {(module.name, name)}
    if name in module.names:
        entry = module.names[name]
        if isinstance(entry, tuple):
            other, attribute = entry
            if attribute is None:
                raise Unknown(name)
            if locate(other) is None:
                raise Unknown(name)
            try:
                return lookup(parse(other), attribute, seen)
            except Missing:
                raise Unknown(name) from None  # a submodule, or made at run time
        if isinstance(entry, ast.Name) and entry.id in module.names:
            return lookup(module, entry.id, seen)
        return module, entry
    uncertain = module.dynamic
    for star in module.stars:
        if locate(star) is None:
            uncertain = True
            continue
        try:
            return lookup(parse(star), name, seen)
        except Missing:
            continue
        except Unknown:
            uncertain = True
    if uncertain or locate(f"{module.name}.{name}") is not None:
        raise Unknown(name)
    raise Missing(name, module)


def _attribute(owner: Module, node: ast.AST, name: str) -> ast.AST:
    """Return a method of a class."""
    if isinstance(node, ast.ClassDef):
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == name:
                return item
    raise Unknown(name)


def class_arguments(
    module: Module, node: ast.ClassDef, seen: frozenset[tuple[str, str]] = frozenset()
) -> tuple[dict[str, Argument], bool]:
    """Return the arguments of a class's constructor, its own or the nearest inherited one.

    Raises:
        Unknown: a base class is not written in source text.
    """
    if (module.name, node.name) in EMPTY_INITS:
        return {}, False
    if (module.name, node.name) in seen:
        raise Unknown(node.name)
    seen = seen | {(module.name, node.name)}
    for item in reversed(node.body):  # the last of several overloads is the real one
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return function_arguments(module, item, skip_first=True)
    fields: dict[str, Argument] = {}
    is_dataclass = any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
    for base in node.bases:
        found = _base(module, base)
        if found is None:
            continue
        arguments, is_open = class_arguments(*found, seen)
        if not is_dataclass and (arguments or is_open):
            return arguments, is_open
        fields |= arguments
    if is_dataclass:
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                fields[item.target.id] = Argument(item.target.id, item.annotation, item.value, module)
    return fields, False


def _base(module: Module, base: ast.expr) -> tuple[Module, ast.ClassDef] | None:
    """Return the class a base expression names, or None for one without a constructor of its own."""
    if isinstance(base, ast.Subscript):
        base = base.value
    if ast.unparse(base).rpartition(".")[2] in {"object", "ABC", "Protocol", "Generic"}:
        return None
    owner, node = resolve(module, base)
    if not isinstance(node, ast.ClassDef):
        raise Unknown(ast.unparse(base))
    return owner, node


def resolve(module: Module, expression: ast.expr) -> tuple[Module, ast.AST]:
    """Return what a name or dotted name written in a module stands for.

    Raises:
        Unknown: source text does not tell.
    """
    head, *rest = ast.unparse(expression).split(".")
    try:
        if not rest:
            return lookup(module, head)
        entry = module.names.get(head)
        if isinstance(entry, tuple):
            root = entry[0] if entry[1] is None else f"{entry[0]}.{entry[1]}"
            return find(".".join([root, *rest]))
    except (Missing, ConfigError):
        pass
    raise Unknown(ast.unparse(expression))


def function_arguments(module: Module, node: ast.AST, *, skip_first: bool = False) -> tuple[dict[str, Argument], bool]:
    """Return the arguments of a function that a keyword can set, and whether it takes `**kwargs`."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        raise Unknown
    spec = node.args
    positional = [*spec.posonlyargs, *spec.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(spec.defaults)) + list(spec.defaults)
    pairs = list(zip(positional, defaults, strict=True))[1 if skip_first else 0 :]
    pairs += list(zip(spec.kwonlyargs, spec.kw_defaults, strict=True))
    hidden = {argument.arg for argument in spec.posonlyargs}
    arguments = {
        argument.arg: Argument(argument.arg, argument.annotation, default, module)
        for argument, default in pairs
        if argument.arg not in hidden
    }
    return arguments, spec.kwarg is not None


def public_names(module: Module) -> list[str]:
    """Return the names a module shows, for suggestions."""
    starred = [name for star in module.stars if locate(star) is not None for name in public_names(parse(star))]
    return [name for name in [*module.names, *starred, *submodules(module)] if not name.startswith("_")]


def submodules(module: Module) -> list[str]:
    """Return the modules directly inside a package."""
    if module.path.name != "__init__.py":
        return []
    entries = module.path.parent.iterdir()
    return sorted(entry.stem for entry in entries if entry.suffix == ".py" or (entry / "__init__.py").is_file())


@functools.cache
def _top_spec(name: str) -> tuple[str | None, tuple[str, ...]] | None:
    """Return (file, folders) of a top-level package, None when there is none; imports nothing."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if spec is None else (spec.origin, tuple(spec.submodule_search_locations or ()))


def locate(name: str) -> Path | None:
    """Return the source file of a module, None when there is none."""
    top, *rest = name.split(".")
    spec = _top_spec(top)
    if spec is None:
        return None
    origin, folders = spec
    if not rest:
        path = Path(origin) if origin else None
        return path if path is not None and path.suffix == ".py" else None
    for folder in folders:
        base = Path(folder).joinpath(*rest)
        for path in (base / "__init__.py", base.with_name(base.name + ".py")):
            if path.is_file():
                return path
    return None


@functools.cache
def parse(name: str) -> Module:
    """Parse the source file of a module.

    Raises:
        Unknown: it has none, or it cannot be parsed.
    """
    path = locate(name)
    if path is None:
        raise Unknown(name)
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        msg = f"{path}, line {error.lineno}: {error.msg}"
        raise ConfigError(msg) from None
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    names: dict[str, ast.AST | tuple[str, str | None]] = {}
    stars: list[str] = []
    for node in _statements(tree.body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names[node.name] = node
        elif isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0],
                    None,
                )
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(package, node)
            for alias in node.names:
                if alias.name == "*":
                    stars.append(origin)
                else:
                    names.setdefault(alias.asname or alias.name, (origin, alias.name))
        elif isinstance(node, ast.Assign):
            for place in node.targets:
                if isinstance(place, ast.Name):
                    names[place.id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            names[node.target.id] = node.value
    return Module(name, path, names, tuple(stars), "__getattr__" in names)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, those inside `if`, `try` and `with` too."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from _statements([*node.body, *(s for h in node.handlers for s in h.body), *node.orelse])
        elif isinstance(node, ast.With):
            yield from _statements(node.body)
        else:
            yield node


def _absolute(package: str, node: ast.ImportFrom) -> str:
    """Return the absolute name of the module a `from ... import` reads."""
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])
