import os

from genima_core.training.config import Training


def test_what_is_prepared_lies_where_it_can_be_written(tmp_path, monkeypatch):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    assert Training(data, out).cache_folder == data / ".cache"
    assert Training(data, out, cache=tmp_path / "fast").cache_folder == tmp_path / "fast"
    monkeypatch.setattr(os, "access", lambda path, mode: path != data)
    assert Training(data, out).cache_folder == out / ".cache"
