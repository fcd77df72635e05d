"""No pickle can make the converter run anything."""

import builtins
import functools
import os
import pickle
import subprocess
import types

import numpy as np
import pytest

from genima_core.importers.rlbench import pickles
from genima_core.importers.rlbench.pickles import read_pickle


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class State:
    """Pickles as a call, after which its result gets a state."""

    def __init__(self, function, arguments, state):
        self.parts = function, arguments, state

    def __reduce__(self):
        return self.parts


def named(module: str, name: str) -> bytes:
    """Opcodes that put a name's value on the stack; a dot in the name walks through attributes."""
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return texts + b"\x93"


TOUCH = "touch {}"
ATTACKS = {
    "os.system": lambda file: pickle.dumps(Calls(os.system, TOUCH.format(file))),
    "eval": lambda file: pickle.dumps(Calls(builtins.eval, f"open({file!r}, 'w')")),
    "exec": lambda file: pickle.dumps(Calls(builtins.exec, f"open({file!r}, 'w')")),
    "open": lambda file: pickle.dumps(Calls(builtins.open, file, "w")),
    "getattr": lambda file: pickle.dumps(Calls(builtins.getattr, Calls(builtins.__import__, "os"), "system")),
    "Popen": lambda file: pickle.dumps(Calls(subprocess.Popen, ["touch", file])),
    "partial": lambda file: pickle.dumps(functools.partial(os.system, TOUCH.format(file))),
    "code": lambda file: pickle.dumps(Calls(types.SimpleNamespace)),
    "among good things": lambda file: pickle.dumps([np.arange(3), {"a": Calls(os.system, TOUCH.format(file))}]),
    "state": lambda file: pickle.dumps(State(types.SimpleNamespace, (), {"a": 1})),
    "numpy.load": lambda file: pickle.dumps(Calls(np.load, file)),
    "numpy's own eval": lambda file: b"\x80\x04" + named("numpy.testing._private.utils", "runstring") + b".",
    "numpy.memmap": lambda file: pickle.dumps(Calls(np.memmap, file, "uint8", "w+", 0, 10)),
    "through a module": lambda file: b"\x80\x04" + named("numpy", "os.system") + b"\x8c\x01x\x85R.",
    "through a class": lambda file: b"\x80\x04" + named("rlbench.demo", "Demo.__init__.__globals__") + b".",
    "through a function": lambda file: b"\x80\x04" + named("numpy._core.multiarray", "_reconstruct.__self__") + b".",
    "our modules": lambda file: b"\x80\x04" + named("genima_core.importers.rlbench.pickles", "pickle.loads") + b".",
    "old names": lambda file: b"cposix\nsystem\n(S'" + TOUCH.format(file).encode() + b"'\ntR.",
    "instance": lambda file: b"(S'" + TOUCH.format(file).encode() + b"'\niposix\nsystem\n.",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_foreign_names_are_refused(attack, tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "low_dim_obs.pkl"
    path.write_bytes(ATTACKS[attack](str(trace)))
    with pytest.raises(ValueError, match=r"low_dim_obs\.pkl asks for [\w.]+, which no RLBench recording contains"):
        read_pickle(path)
    assert not trace.exists()


OBJECT = np.dtype(object)
ABUSES = {
    # Numpy's own function would unpickle the bytes once more, or call the class that it is given.
    "a scalar of any object": lambda: named("numpy._core.multiarray", "scalar") + b"K\x01C\x01x\x86R",
    "an array of another class": lambda: (
        named("numpy._core.multiarray", "_reconstruct") + named("rlbench.demo", "Demo") + b"K\x00\x85C\x01b\x87R"
    ),
    "a dtype of anything": lambda: named("numpy", "dtype") + named("rlbench.demo", "Demo") + b"\x89\x88\x87R",
    "a function's defaults": lambda: named("numpy", "dtype") + b"N}" + b"\x8c\x0c__defaults__K\x01\x85s\x86b",
    "a function's function": lambda: (
        named("numpy", "dtype") + b"N}" + b"\x8c\x09_function" + named("rlbench.demo", "Demo") + b"s\x86b"
    ),
    "a class's method": lambda: (
        named("rlbench.demo", "Demo") + b"N}" + b"\x8c\x0c__setstate__" + named("numpy", "dtype") + b"s\x86b"
    ),
    "an object's slots": lambda: named("rlbench.demo", "Demo") + b")\x81N}\x8c\x09__class__K\x01s\x86b",
    "an object with arguments": lambda: named("rlbench.demo", "Demo") + b"K\x01\x85\x81",
    "numbers called": lambda: b"K\x01)R",
}


@pytest.mark.parametrize("abuse", ABUSES)
def test_admitted_names_cannot_be_abused(abuse, tmp_path):
    path = tmp_path / "low_dim_obs.pkl"
    before = {name: value._function for name, value in pickles._ADMITTED.items() if hasattr(value, "_function")}
    record = dict(vars(pickles.Record))
    path.write_bytes(b"\x80\x04" + ABUSES[abuse]() + b".")
    try:
        value = read_pickle(path)
    except ValueError as error:
        assert "is damaged" in str(error)
    else:
        with pytest.raises(ValueError, match="without numbers"):
            np.asarray(value)
    assert {name: pickles._ADMITTED[name]._function for name in before} == before
    assert dict(vars(pickles.Record)) == record
    path.write_bytes(pickle.dumps(np.arange(3)))
    assert np.asarray(read_pickle(path)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6, dtype=">i4").reshape(2, 3).T,
        np.arange(24).reshape(2, 3, 4).swapaxes(0, 1),
        np.zeros((0, 3)),
        np.float32(0.5),
        np.bool_(True),
        np.array(1 + 2j),
        [np.arange(2), np.arange(2)],
    ],
    ids=str,
)
def test_arrays_keep_their_values(value, protocol, tmp_path):
    path = tmp_path / "values.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    read = np.asarray(read_pickle(path))
    np.testing.assert_array_equal(read, value)
    assert read.dtype == np.asarray(value).dtype


@pytest.mark.parametrize("value", [np.array(["a"]), np.array([None]), np.zeros(2, [("x", "f8")]), np.datetime64("now")])
def test_other_arrays_are_read_but_have_no_numbers(value, tmp_path):
    path = tmp_path / "values.pkl"
    path.write_bytes(pickle.dumps({"names": value}))
    with pytest.raises(ValueError, match="not numbers|without numbers"):
        np.asarray(read_pickle(path)["names"])


def test_random_bytes_are_damage(tmp_path):
    good = bytearray(pickle.dumps([{"a": np.arange(9.0), "b": [1, "text", None]}] * 3))
    rng, path = np.random.default_rng(0), tmp_path / "low_dim_obs.pkl"
    for _ in range(500):
        data = bytearray(good)
        for place in rng.integers(len(data), size=rng.integers(1, 5)):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            read_pickle(path)
        except ValueError as error:
            assert "is damaged" in str(error) or "asks for" in str(error)
