import json
import shutil
import subprocess
import sys

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from genima_core.language import MAX_TOKENS, TextEncoder, prompt


@pytest.fixture(scope="module")
def encoder():
    return TextEncoder.tiny(32)


def test_shapes(encoder):
    text = encoder.encode(prompt("push the button"))
    assert text.tokens.shape == text.penultimate.shape == (1, MAX_TOKENS, 32)
    assert text.pooled.shape == (1, encoder.pooled_width)
    assert encoder.pooled(["a", "b", "c"]).shape == (3, 32)


def test_the_tiny_one_is_the_same_everywhere_and_tells_instructions_apart(encoder):
    texts = ["push the red button", "push the blue button", "open the drawer", "ouvre le tiroir à gauche"]
    pooled = encoder.pooled(texts)
    assert torch.equal(pooled, TextEncoder.tiny(32).pooled(texts))
    distances = torch.cdist(pooled, pooled) + 10 * torch.eye(4)
    assert distances.min() > 0.1


def test_words_of_the_prompt_leave_room_for_the_goal(encoder):
    tokens = len(encoder.tokenizer(prompt("push the button")).input_ids)
    assert tokens < len(prompt("push the button")) < MAX_TOKENS
    with pytest.warns(UserWarning, match="cut off"):
        assert encoder.encode(prompt("go " * 200)).tokens.shape[1] == MAX_TOKENS


def test_nothing_is_trained(encoder):
    assert not any(p.requires_grad for p in encoder.model.parameters())
    assert not encoder.model.training


def test_saved_and_loaded_it_says_the_same(encoder, tmp_path):
    encoder.save(tmp_path)
    loaded = TextEncoder.load(tmp_path)
    for text in ("push the button", prompt("öffne die Tür")):
        assert torch.equal(loaded.encode(text).tokens, encoder.encode(text).tokens)
        assert torch.equal(loaded.pooled([text]), encoder.pooled([text]))


def test_loads_clip_with_its_projection_from_one_folder(encoder, tmp_path):
    encoder.tokenizer.save_pretrained(tmp_path)
    config = CLIPTextConfig(
        vocab_size=len(encoder.tokenizer),
        hidden_size=16,
        intermediate_size=16,
        projection_dim=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        eos_token_id=1,
    )
    CLIPTextModelWithProjection(config).save_pretrained(tmp_path)
    loaded = TextEncoder.load(tmp_path)
    assert loaded.encode("push").tokens.shape[-1] == 16 and loaded.pooled_width == 24


def test_missing_weights_come_with_the_remedy(tmp_path, encoder):
    with pytest.raises(FileNotFoundError, match="hf download nobody/nothing"):
        TextEncoder.load("nobody/nothing")
    encoder.save(tmp_path)
    shutil.rmtree(tmp_path / "tokenizer")
    with pytest.raises(FileNotFoundError, match="the shipped checkpoints/demo"):
        TextEncoder.load(tmp_path)


def test_no_code_of_a_folder_is_run_whatever_standard_input_says(tmp_path, encoder):
    encoder.save(tmp_path)
    ran = tmp_path / "ran"
    for part, key in (("text_encoder", "config.json"), ("tokenizer", "tokenizer_config.json")):
        file = tmp_path / part / key
        kinds = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", "evil.Evil"]}
        file.write_text(json.dumps({**json.loads(file.read_text()), "model_type": "evil", "auto_map": kinds}))
        (tmp_path / part / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: pass\n")
    script = (
        "import sys\nfrom genima_core.language import TextEncoder\n"
        "try:\n    TextEncoder.load(sys.argv[1])\nexcept (ValueError, OSError) as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], input="y\n" * 9, capture_output=True, text=True, check=True
    )
    assert not ran.exists()
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) <= 1


def test_damaged_weights_are_an_error(tmp_path, encoder):
    encoder.save(tmp_path)
    (tmp_path / "text_encoder" / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="damaged"):
        TextEncoder.load(tmp_path)


def test_what_is_cut_off_is_said_and_never_taught(encoder):
    long = "push the button " * 8
    with pytest.warns(UserWarning, match="reads 77 tokens, so the end of"):
        encoder.encode(long + "gently")
    with pytest.raises(ValueError, match="are the same to the text encoder, which reads 77 tokens"):
        encoder.check_distinct(["push", long + "gently", long + "quickly"])
    encoder.check_distinct(["push", "push", long, "pull"])
