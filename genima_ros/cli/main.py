"""The `genima` command: one table of verbs, each a plain function that tyro makes a command line of."""

import difflib
import importlib
import os
import sys
from collections.abc import Callable
from importlib.metadata import version

VERBS = {
    "demo": ("genima_ros.cli.demo:demo", "start the simulated cell and the node graph, run the shipped checkpoint"),
    "up": ("genima_ros.cli.up:up", "start a node graph and stay: genima up sim name:=value ..."),
    "leader": ("genima_ros.cli.leader:leader", "move the simulated leader by sliders in the terminal"),
    "preflight": (
        "genima_ros.cli.preflight:preflight",
        "before enabling: cameras, rig, arm, nodes, checkpoint",
    ),
    "replay": ("genima_ros.cli.replay:replay", "a recorded episode once more, on the arm or in simulation"),
    "record": ("genima_ros.cli.record:record", "record demonstrations: live table, keys, quality after each episode"),
    "recover": ("genima_ros.cli.recover:recover", "out of a reflex stop, step by step; never moves the arm"),
    "collect": ("genima_core.evaluation.collect:collect", "record scripted demonstrations in simulation"),
    "convert": (
        "genima_core.importers.convert:convert",
        "what others recorded or trained, into our formats",
    ),
    "bag info": ("genima_ros.cli.bag:info", "what recorded episodes hold, and whether they are whole"),
    "bag repair": ("genima_ros.cli.bag:mend", "mend recordings that were cut off"),
    "draw": ("genima_core.data.preview:draw", "write what the models train on, as pictures"),
    "train autoencoder": (
        "genima_core.diffusion.train_autoencoder:train_autoencoder",
        "train the drawing agent's image coder",
    ),
    "train diffusion": ("genima_core.diffusion.train:train_diffusion", "train the agent that draws targets"),
    "train controller": ("genima_core.controller.train:train_controller", "train the controller that follows them"),
    "cameras": ("genima_ros.cli.cameras:cameras", "connected RealSense cameras, and a picture of each"),
    "calibrate board": ("genima_core.calibration.verbs:print_board", "the ChArUco board as a picture to print"),
    "calibrate collect": ("genima_ros.cli.calibrate:collect", "take samples of a running cell, the board in view"),
    "calibrate solve": ("genima_core.calibration.verbs:solve_cameras", "where the cameras are, and how sure that is"),
    "calibrate install": ("genima_core.calibration.verbs:install", "put extrinsics into a rig and .calib files"),
    "calibrate check": (
        "genima_ros.cli.calibrate:check",
        "the arm's spheres over live images; drift of the cameras",
    ),
    "checkpoint": ("genima_core.checkpoint:checkpoint", "put what was trained into one checkpoint folder"),
    "eval": ("genima_core.evaluation.report:evaluate", "closed loop in simulation, without ROS"),
    "bench": ("genima_ros.cli.bench:bench", "run the benchmarks of benchmarks/ by name"),
    "doctor": ("genima_ros.cli.doctor:doctor", "what works on this machine and what to install"),
}
"""Verb to (module:function, help). The module is imported when its verb is used."""


def main() -> None:
    """Entry point; exits with 0 (done), 1 (one line on stderr says what was wrong) or 2 (no such command line)."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit status."""
    try:
        return dispatch(arguments)
    except KeyboardInterrupt:
        print("genima: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, RuntimeError, KeyError, ImportError) as error:
        if os.environ.get("GENIMA_TRACEBACK") == "1":
            raise
        print(f"genima: {describe(error)}", file=sys.stderr)
        return 1


def dispatch(arguments: list[str]) -> int:
    """Finds the verb and calls its function."""
    if arguments == ["--version"]:
        print(version("genima_ros"))
        return 0
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage(), flush=True)
        return 0 if arguments else 2
    verb, rest = split_verb(arguments)
    if verb in VERBS:
        # Torch's threads would spin while they wait for each other, which on busy cores is many times slower.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it recommends torchvision, which is not needed
        return call(load(VERBS[verb][0]), verb, rest)
    group = f"{arguments[0]} "
    if any(name.startswith(group) for name in VERBS) and rest[:1] in (["-h"], ["--help"]):
        print(usage(group), flush=True)
        return 0
    print(unknown_verb(arguments), file=sys.stderr)
    return 2


def split_verb(arguments: list[str]) -> tuple[str, list[str]]:
    """The verb, of one or two words, and what follows it."""
    if any(name.startswith(f"{arguments[0]} ") for name in VERBS):
        two_words = " ".join(arguments[:2])
        return (two_words, arguments[2:]) if two_words in VERBS else (arguments[0], arguments[1:])
    return arguments[0], arguments[1:]


def load(target: str) -> Callable[..., object]:
    """The function that "module:function" names."""
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def call(function: Callable[..., object], verb: str, arguments: list[str]) -> int:
    """Parses the arguments by the function's signature and calls it; an int that it returns is the exit status."""
    import tyro

    result = tyro.cli(function, prog=f"genima {verb}", args=arguments)
    return result if type(result) is int else 0


def describe(error: Exception) -> str:
    """One line: what is wrong and the remedy."""
    if isinstance(error, ModuleNotFoundError):
        from genima_ros.graph.packages import remedy

        return f"{error}; {remedy(error.name or '')}"
    if isinstance(error, ImportError):
        return f"{error}; genima doctor says what is missing here"
    # str(KeyError) is the repr of its argument.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(text.split()) or type(error).__name__


def usage(prefix: str = "") -> str:
    """The table of the verbs that start with `prefix`."""
    names = [name for name in VERBS if name.startswith(prefix)]
    width = max(map(len, names))
    return "\n".join(
        [
            f"usage: genima {prefix}<verb> ...",
            "",
            *(f"  {name:<{width}}  {VERBS[name][1]}" for name in names),
            "",
            "genima <verb> --help lists a verb's options. Errors are one line; GENIMA_TRACEBACK=1 adds a traceback.",
        ]
    )


def unknown_verb(arguments: list[str]) -> str:
    """What to type instead."""
    verb = arguments[0]
    group = [name for name in VERBS if name.startswith(f"{verb} ")]
    if group:
        return f"genima: `{verb}` needs one of: {', '.join(name.removeprefix(f'{verb} ') for name in group)}"
    close = difflib.get_close_matches(verb, [*VERBS, "train"], n=1)
    hint = f"; did you mean `genima {close[0]}`?" if close else ""
    return f"genima: no verb `{verb}`; valid are {', '.join(VERBS)}{hint}"


if __name__ == "__main__":
    main()
