"""Command lines from the signatures of functions, with placeholders that say what is meant."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

PLACEHOLDERS = {int: "N", float: "NUMBER", Path: "PATH"}


def call(
    function: Callable[..., object], prog: str, arguments: list[str], details: Callable[[list[str]], str] | None = None
) -> int:
    """Parses the arguments by the function's signature and calls it; an int that it returns is the exit status."""
    name_placeholders(function)
    if details is not None and {"-h", "--help"} & set(arguments):
        with suppress(SystemExit):
            tyro.cli(function, prog=prog, args=["--help"])
        print(details([argument for argument in arguments if not argument.startswith("-")]), flush=True)
        return 0
    result = tyro.cli(function, prog=prog, args=arguments)
    return result if type(result) is int else 0


def name_placeholders(owner: Any) -> None:
    """Gives annotations of a function, and of the dataclasses that it takes, a placeholder: ``--seed N``, ``TASK``."""
    hints = get_type_hints(owner, include_extras=True)
    for name in owner.__annotations__:
        kind = get_args(hints[name])[0] if get_origin(hints[name]) is Annotated else hints[name]
        if is_dataclass(kind):
            for base in kind.__mro__[:-1]:  # type: ignore[union-attr]  # a class, not an instance
                name_placeholders(base)
        elif placeholder := placeholder_of(name, hints[name]):
            owner.__annotations__[name] = Annotated[hints[name], tyro.conf.arg(metavar=placeholder)]


def placeholder_of(name: str, hint: Any) -> str:
    """ "" for switches, and for what has its own placeholder or a list of choices."""
    kind, *markers = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if name == "return" or any(getattr(marker, "metavar", None) for marker in markers):
        return ""
    if get_origin(kind) in (Union, UnionType):
        kind = next(option for option in get_args(kind) if option is not type(None))
    several = get_origin(kind) is tuple
    word = name.rpartition("_")[2].upper()
    if tyro.conf.Positional in markers:
        return word + (" ..." if several else "")
    single = get_args(kind)[0] if several else kind
    if single is bool or get_origin(single) is Literal:
        return ""
    word = "SECONDS" if name.endswith("_s") else PLACEHOLDERS.get(single, word)
    return f"{word.removesuffix('S')} ..." if several else word
