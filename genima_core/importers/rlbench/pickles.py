"""Reads RLBench's pickles without running anything that they ask for.

Unpickling calls whatever a file names. Here each of the few names that a recording contains stands for something inert
of ours, so that nothing of numpy, of RLBench or of Python is called; every other name is refused.
"""

import io
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from genima_core.files import check_regular

MAX_BYTES = 256 << 20
_DAMAGE = (pickle.UnpicklingError, EOFError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What unpickling damaged data may raise, beside MemoryError and ImportError."""
_NUMBERS = re.compile(r"[?biufc]\d{0,2}")
"""Numpy's codes of numbers, such as f8; objects, texts and records are none."""


class Record:
    """Stands for a `rlbench.demo.Demo` or a `rlbench.backend.observation.Observation`."""

    __slots__ = ("attributes",)

    def __new__(cls) -> "Record":
        self = super().__new__(cls)
        self.attributes = {}
        return self

    def __setstate__(self, state: object) -> None:
        if type(state) is not dict:
            raise pickle.UnpicklingError("an object whose attributes are not a dict")
        self.attributes = state

    def get(self, name: str) -> object:
        """An attribute, or what RLBench keeps by this name in the dict `misc`; None where there is none."""
        if name in self.attributes:
            return self.attributes[name]
        misc = self.attributes.get("misc")
        return misc.get(name) if isinstance(misc, dict) else None


def read_pickle(path: Path) -> object:
    """What a pickle of RLBench holds: lists, dicts, texts, numbers and `Record`; arrays as objects for `np.asarray`.

    ValueError if it is damaged, or asks for anything that a recording does not contain.
    """
    data = check_regular(path).read_bytes() if path.stat().st_size <= MAX_BYTES else b""
    try:
        _check_cost(data)
        return _Unpickler(io.BytesIO(data)).load()
    except _RefusedError as refusal:
        why = "which no RLBench recording contains. Opening it could run any program, so it is refused"
        raise ValueError(f"{path} asks for {refusal}, {why}; record it again, or ask where it comes from") from None
    except (*_DAMAGE, MemoryError, ImportError) as error:
        what = error or type(error).__name__
        raise ValueError(f"{path} is damaged: {what}; record the episode again or remove its folder") from error


def _check_cost(data: bytes) -> None:
    """Refuses what would take much memory before anything is read: a memo index of 2 billion, an endless length."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data), 1):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > count:
            raise pickle.UnpicklingError(f"its memo has a place {argument}")
    if not data:
        raise pickle.UnpicklingError(f"it is empty, or larger than {MAX_BYTES / 1e6:.0f} MB")


class _RefusedError(Exception):
    """Names what was asked for."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _ADMITTED:
            raise _RefusedError(f"{module}.{name}")
        return _ADMITTED[module, name]


class _Function:
    """Stands for a function. Unlike a function's, its attributes cannot be set by a pickle."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it changes a function")


class _Dtype:
    __slots__ = ("_code", "_order")

    def __init__(self, code: object, align: object, copy: object) -> None:
        if type(code) is not str:
            raise pickle.UnpicklingError("an array whose type is not text")
        self._code, self._order = code, "="

    def __setstate__(self, state: tuple) -> None:
        order = state[1]
        if type(order) is not str or order not in tuple("<>|="):
            raise pickle.UnpicklingError("an array of unknown byte order")
        self._order = order

    def resolve(self) -> np.dtype:
        if not _NUMBERS.fullmatch(self._code):
            raise ValueError(f"values of type {self._code!r} are not numbers")
        return np.dtype(self._order + self._code.lstrip("<>|="))


class _Array:
    """Stands for a numpy array until somebody asks for its numbers; `axes` is a transposition that follows."""

    __slots__ = ("_axes", "_data", "_dtype", "_order", "_shape")

    def __init__(
        self, data: object = b"", dtype: object = None, shape: Any = (0,), order: Any = "C", axes: Any = None
    ) -> None:
        self._data, self._dtype, self._shape, self._axes = data, dtype, shape, axes
        self._order: Literal["C", "F"] = "F" if order == "F" else "C"

    def __setstate__(self, state: tuple) -> None:
        _, self._shape, self._dtype, fortran, self._data = state
        self._order = "F" if fortran else "C"

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        if not isinstance(self._dtype, _Dtype) or not isinstance(self._data, bytes | bytearray):
            raise ValueError("an array without numbers")
        values = np.frombuffer(self._data, self._dtype.resolve()).reshape(self._shape, order=self._order)
        return np.array(values if self._axes is None else values.transpose(self._axes), dtype=dtype)


_NDARRAY = "numpy.ndarray"


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    if type(kind) is not str or kind != _NDARRAY:
        raise pickle.UnpicklingError("an array that is not numpy's")
    return _Array()


def _scalar(dtype: object, data: object) -> _Array:
    return _Array(data, dtype, ())


# Numpy's functions moved from numpy.core to numpy._core with version 2.0. `Demo` keeps the state of the random
# generator as `np.random.get_state` returns it: a tuple of a text, an array and numbers, which needs no more names.
_ADMITTED: dict[tuple[str, str], object] = {
    ("rlbench.demo", "Demo"): Record,
    ("rlbench.backend.observation", "Observation"): Record,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Function(_Dtype),
} | {
    (f"numpy.{core}.{module}", name): _Function(function)
    for core in ("core", "_core")
    for module, name, function in (
        ("multiarray", "_reconstruct", _reconstruct),
        ("multiarray", "scalar", _scalar),
        ("numeric", "_frombuffer", _Array),
    )
}
