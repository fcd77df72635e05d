import ast
import subprocess
import sys
from pathlib import Path

import pytest

from genima_ros.cli import bench
from genima_ros.cli import main as cli

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("verb", cli.VERBS)
def test_each_verb_names_a_function(verb):
    module, name = cli.VERBS[verb][0].split(":")
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert name in functions
    assert ast.get_docstring(functions[name]), "tyro shows it as the verb's help"


@pytest.mark.parametrize("verb", cli.VERBS)
def test_each_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.run([*verb.split(), "--help"])
    assert exit_.value.code == 0
    assert f"usage: genima {verb}" in capsys.readouterr().out


def test_the_table_is_shown_without_importing_anything_heavy():
    code = (
        "import sys; from genima_ros.cli import main as cli; status = cli.run(['--help']); "
        "print(status, {'numpy', 'torch', 'mujoco', 'rclpy', 'tyro', 'rich'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "0 set()"
    assert all(f"  {verb}" in output for verb in cli.VERBS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evla"], "did you mean `genima eval`?"),
        (["dance"], "valid are demo, up, leader"),
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


def test_wrong_options_exit_with_two():
    with pytest.raises(SystemExit) as exit_:
        cli.run(["doctor", "--sjon"])
    assert exit_.value.code == 2


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


def test_bad_input_ends_with_one_line(capsys):
    assert cli.run(["bench", "no_such_benchmark"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("genima: no benchmark no_such_benchmark; valid are ")
    assert error.count("\n") == 1


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
