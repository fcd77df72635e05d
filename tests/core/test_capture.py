import pytest
import torch

from genima_core.capture import Captured, compile_frozen, shared_twin


def test_a_twin_shares_tensors_and_not_structure():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.Linear(2, 2)))
    twin = shared_twin(module)
    twin[1][0] = torch.nn.Identity()
    assert twin[0].weight is module[0].weight
    assert isinstance(module[1][0], torch.nn.Linear)


def test_on_a_cpu_functions_are_simply_called():
    captured = Captured(torch.device("cpu"))
    assert captured("double", lambda x: (2 * x,), [torch.tensor(3)])[0] == 6


@pytest.mark.gpu
def test_a_captured_function_computes_with_new_inputs():
    captured = Captured(torch.device("cuda"))
    for value in (3.0, 4.0):
        assert captured("double", lambda x: (2 * x,), [torch.tensor(value)])[0] == 2 * value


@pytest.mark.gpu
def test_what_cannot_be_captured_runs_without():
    captured = Captured(torch.device("cuda"))
    with pytest.warns(RuntimeWarning, match="without a captured graph"):
        assert captured("sync", lambda x: (x * x.item(),), [torch.tensor(3.0)])[0] == 9


def test_a_compiled_function_computes_the_same():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.SiLU(), torch.nn.Conv2d(4, 2, 3)).eval()
    compiled, x = compile_frozen(network, torch.device("cpu")), torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), network(x), rtol=1e-4, atol=1e-5)
