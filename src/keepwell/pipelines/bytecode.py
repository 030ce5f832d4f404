"""What a piece of compiled code consists of and refers to, without its comments, line numbers and docstring."""

from __future__ import annotations

import dis
import sys
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType

_HAS_DOCSTRING = 0x4000000  # CO_HAS_DOCSTRING, Python 3.14
_FUNCTION = 0x1 | 0x2  # CO_OPTIMIZED | CO_NEWLOCALS
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})


@dataclass(frozen=True, slots=True)
class Global:
    """A global name that is read, and the attributes that are read from it at once: `helpers.clean` is one."""

    name: str
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Import:
    """An import inside a function: module, how many packages up it starts, and the names taken from it."""

    module: str
    level: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """A code object's own content.

    Attributes:
        texts: what it is, as texts to be hashed: bytecode, names, flags.
        constants: its constants but the docstring; nested code objects among them.
        globals: global names it reads.
        imports: modules it imports.
    """

    texts: tuple[str, ...]
    constants: tuple[object, ...]
    globals: tuple[Global, ...]
    imports: tuple[Import, ...]


def shape_of(code: CodeType) -> Shape:
    """Return what a code object consists of and refers to. Nested code is among its constants, not looked into."""
    return _shape(_Same(code))


class _Same:
    """Compares by identity: equal code of two places may differ in what their names mean."""

    __slots__ = ("code",)

    def __init__(self, code: CodeType) -> None:
        self.code = code

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.code is self.code

    def __hash__(self) -> int:
        return id(self.code)


@lru_cache(maxsize=8192)
def _shape(same: _Same) -> Shape:
    code = same.code
    names, imports = _references(code)
    texts = (
        code.co_code.hex(),
        getattr(code, "co_exceptiontable", b"").hex(),
        " ".join(map(str, (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags))),
        " ".join(code.co_names),
        " ".join(code.co_varnames),
        " ".join(code.co_freevars),
        " ".join(code.co_cellvars),
    )
    return Shape(texts, _constants(code), names, imports)


def _constants(code: CodeType) -> tuple[object, ...]:
    """Return the constants; a docstring, and the line a class starts at (Python 3.13), are replaced by None."""
    found = code.co_consts
    if "__firstlineno__" in code.co_names:
        found = tuple(None if type(c) is int and c == code.co_firstlineno else c for c in found)
    is_function = code.co_flags & _FUNCTION == _FUNCTION and not code.co_name.startswith("<")
    if found and isinstance(found[0], str) and is_function:
        has_docstring = sys.version_info < (3, 14) or bool(code.co_flags & _HAS_DOCSTRING)
        return (None, *found[1:]) if has_docstring else found
    return found


def _references(code: CodeType) -> tuple[tuple[Global, ...], tuple[Import, ...]]:
    names: dict[Global, None] = {}
    imports: dict[Import, None] = {}
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "PRECALL", "EXTENDED_ARG")]
    for index, one in enumerate(instructions):
        if one.opname in _GLOBALS:
            chain = []
            for following in instructions[index + 1 :]:
                if following.opname not in _ATTRIBUTES:
                    break
                chain.append(str(following.argval))
            names[Global(str(one.argval), tuple(chain))] = None
        elif one.opname == "IMPORT_NAME":
            level, wanted = instructions[index - 2].argval, instructions[index - 1].argval
            taken = tuple(map(str, wanted)) if isinstance(wanted, tuple) else ()
            imports[Import(str(one.argval), level if isinstance(level, int) else 0, taken)] = None
    return tuple(names), tuple(imports)
