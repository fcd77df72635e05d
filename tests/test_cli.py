import re
import subprocess
import sys

import pytest

from genima_ros.cli import bench
from genima_ros.cli import main as cli
from genima_ros.graph.modes import MODES, spoken

HEAVY = {"torch", "mujoco", "rclpy", "diffusers"}


@pytest.mark.parametrize("name", cli.find_verbs())
def test_each_verb_has_help_with_an_example(name):
    """In a process of its own, so that what it imports can be seen."""
    verb = cli.find_verbs()[name]
    assert 0 < len(verb.help) <= 80, "one line of the table"
    code = (
        f"import sys; from genima_ros.cli import main as cli\ntry: cli.run({[*name.split(), '--help']})\n"
        f"except SystemExit as end: print(end.code, {HEAVY} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    shown, _, last = output.rstrip().rpartition("\n")
    if name == "up":  # prints the graphs below and returns
        assert all(f"  {spoken(mode)}" in output for mode in MODES)
    else:
        assert last == "0 set()"
    assert f"usage: genima {name}" in shown
    assert f"Example: genima {name}" in shown
    assert not re.search(r"\b(STR|INT|FLOAT|PATH PATH)\b|\{None\}", shown), "say what is meant"


@pytest.mark.parametrize("mode", MODES)
def test_help_of_a_graph_lists_its_arguments(mode, capsys):
    assert cli.run(["up", *spoken(mode).split(), "--help"]) == 0
    shown = capsys.readouterr().out
    for argument in MODES[mode].arguments:
        assert f"  {argument.name}:=" in shown
    assert "the node's" not in shown


def test_a_verb_is_found_by_its_file(tmp_path):
    (tmp_path / "wave.py").write_text('def wave(times: int = 1) -> None:\n    """Waves."""\n')
    (tmp_path / "hand.py").write_text('def a(): "First."\ndef _b(): "No verb."\ndef c(): "Third."\nVERBS = (c, a)\n')
    (tmp_path / "two.py").write_text('def sit(): "Sits."\ndef hop(): "Hops."\nCOMMANDS = (sit, hop)\n')
    verbs = cli.find_verbs(tmp_path)
    assert [(name, verb.help) for name, verb in verbs.items()] == [
        ("hand c", "Third."),
        ("hand a", "First."),
        ("hop", "Hops."),
        ("sit", "Sits."),
        ("wave", "Waves."),
    ]
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(ValueError, match="neither a function empty nor a tuple VERBS"):
        cli.find_verbs(tmp_path)


def test_the_table_is_shown_without_importing_anything_heavy():
    code = (
        "import sys; from genima_ros.cli import main as cli; status = cli.run(['--help']); "
        f"print(status, {HEAVY | {'numpy', 'tyro', 'rich'}} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "0 set()"
    assert all(f"  {verb}" in output for verb in cli.find_verbs())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evla"], "did you mean `genima eval`?"),
        (["dance"], "valid are approve, bag info"),
        (["train"], "`train` needs one of: autoencoder, diffusion, controller"),
        (["train", "everything"], "`train` needs one of"),
    ],
)
def test_unknown_verbs(arguments, message, capsys):
    assert cli.run(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_no_verb_shows_the_table(capsys):
    assert cli.run([]) == 2
    assert "doctor" in capsys.readouterr().out
    assert cli.run(["train", "--help"]) == 0
    assert "doctor" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("doctor --sjon", "--sjon"),
        ("eval push_button --seed -1", "seed is -1; scenes count from 0"),
        ("eval push_button --workers 0", "workers is 0; it must be at least 1"),
        ("collect push_button --episodes 1 --seed -1 --out data", "seed is -1; scenes count from 0"),
    ],
)
def test_wrong_options_exit_with_two(words, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.run(words.split())
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no task 'dance';\n valid: push_button"), "no task 'dance'; valid: push_button"),
        (KeyError("no camera 'top'"), "no camera 'top'"),
        (FileNotFoundError(2, "No such file or directory", "x.json"), "[Errno 2] No such file or directory: 'x.json'"),
        (RuntimeError(), "RuntimeError"),
        (
            ModuleNotFoundError("No module named 'mink'", name="mink"),
            "No module named 'mink'; in the source tree: make env, or pip install '.[sim]'",
        ),
        (
            ModuleNotFoundError("No module named 'rclpy'", name="rclpy"),
            "No module named 'rclpy'; in the source tree: make env, or pip install '.[ros]'",
        ),
        (
            ModuleNotFoundError("No module named 'tf2_msgs.msg'", name="tf2_msgs.msg"),
            "No module named 'tf2_msgs.msg'; apt-get install ros-jazzy-tf2-msgs, and source that ROS 2",
        ),
    ],
)
def test_errors_are_one_line_with_the_remedy(error, line, monkeypatch):
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    assert cli.describe(error) == line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("bench no_such_benchmark", "no benchmark no_such_benchmark; valid are "),
        ("demo --seed 0", "--seed is 0; at least 1 is needed"),
        ("calibrate check", "there is no rig calibration/rig.json; name one with --rig, or copy "),
    ],
)
def test_bad_input_ends_with_one_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(words.split()) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"genima: {message}")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_reader_that_goes_away_is_no_traceback():
    code = "from genima_ros.cli import main as cli; cli.main()"
    result = subprocess.run(f"{sys.executable} -c '{code}' --help | true", shell=True, capture_output=True, text=True)
    assert result.stderr == ""


def test_rows_of_a_benchmark_are_marked():
    assert bench.rows_of("targets", {"rows": [{"name": "a"}, {"name": "b"}]}) == [
        {"benchmark": "targets", "name": "a"},
        {"benchmark": "targets", "name": "b"},
    ]
    assert bench.rows_of("expert", {"episodes": 100}) == [{"benchmark": "expert", "episodes": 100}]
