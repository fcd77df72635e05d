"""The `genima` command: what can be typed after it, and what is said of errors.

A file of this folder has a function of its own name, a verb, or lists functions: in ``VERBS = (first, second)`` its
sub-verbs, in ``COMMANDS`` verbs of their own. Arguments, defaults and help come from the function's signature and
docstring; a function `details` of the file may add to the help.
"""

import ast
import difflib
import importlib
import os
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Verb:
    name: str
    file: str
    function: str
    help: str
    """First line of the function's docstring."""

    def call(self, arguments: list[str]) -> int:
        """Parses the arguments and calls the verb's function, whose file is imported only now; the exit status."""
        from genima_ros.cli.terminal.arguments import call  # not at the top: the table needs no argument parser

        module = importlib.import_module(f"genima_ros.cli.{self.file}")
        return call(getattr(module, self.function), f"genima {self.name}", arguments, getattr(module, "details", None))


def find_verbs(folder: Path = FOLDER) -> dict[str, Verb]:
    files = (file for file in folder.glob("[!_]*.py") if file.stem != "main")
    verbs = sorted((verb for file in files for verb in verbs_of(file)), key=lambda verb: verb.name.partition(" ")[0])
    return {verb.name: verb for verb in verbs}


def verbs_of(file: Path) -> list[Verb]:
    """The verbs that a file holds, read without importing it; ValueError if there is none."""
    helps, lists = {}, {}
    for node in ast.parse(file.read_text(), filename=str(file)).body:
        if isinstance(node, ast.FunctionDef):
            helps[node.name] = (ast.get_docstring(node) or "").partition("\n")[0]
        elif isinstance(node, ast.Assign):
            lists[ast.unparse(node.targets[0])] = [
                part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)
            ]
    if "VERBS" in lists:
        return [Verb(f"{file.stem} {name}", file.stem, name, helps[name]) for name in lists["VERBS"]]
    names = lists.get("COMMANDS", [file.stem])
    if not set(names) <= set(helps):
        raise ValueError(f"{file} has neither a function {file.stem} nor a tuple VERBS of functions")
    return [Verb(name, file.stem, name, helps[name]) for name in names]


def main() -> None:
    """Entry point; exits with 0 (done), 1 (one line on stderr says what was wrong) or 2 (no such command line)."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
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
    if arguments == ["--version"]:
        print(version("genima_ros"))
        return 0
    verbs = find_verbs()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage(verbs), flush=True)
        return 0 if arguments else 2
    for words in (2, 1):
        if verb := verbs.get(" ".join(arguments[:words])):
            if verb.file != "train":
                # Torch's threads would spin while they wait for each other, which on busy cores is many times slower.
                # Training has the cores to itself, and takes 1.4 times as long where they sleep.
                os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
            os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it recommends torchvision, which is not needed
            return verb.call(arguments[words:])
    word, group = arguments[0], {name: verb for name, verb in verbs.items() if name.startswith(f"{arguments[0]} ")}
    if group and arguments[1:2] in (["-h"], ["--help"]):
        print(usage(group), flush=True)
        return 0
    problem = f"`{word}` needs one of: {', '.join(verb.function for verb in group.values())}"
    if not group:
        known = {name for verb in verbs for name in (verb, verb.partition(" ")[0])}
        hint = "".join(f"; did you mean `genima {name}`?" for name in difflib.get_close_matches(word, known, n=1))
        problem = f"there is no verb `{word}`; valid are {', '.join(verbs)}{hint}"
    print(f"genima: {problem}", file=sys.stderr)
    return 2


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


def usage(verbs: dict[str, Verb]) -> str:
    width = max(map(len, verbs))
    table = "\n".join(f"  {name:<{width}}  {verb.help}" for name, verb in verbs.items())
    options = "genima <verb> --help lists a verb's options. Errors are one line; GENIMA_TRACEBACK=1 adds a traceback."
    return f"usage: genima <verb> ...\n\n{table}\n\n{options}"


if __name__ == "__main__":
    main()
