"""Which device, which dtype, and the target."""

import pytest
import torch

from mixerc.bench.device import chosen, device_of


def test_a_gpu_is_taken_where_there_is_one(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert chosen() == ("cuda", "bfloat16")
    assert chosen("cpu") == ("cpu", "float32")
    assert chosen("cuda", "float16") == ("cuda", "float16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen() == ("cpu", "float32")
    with pytest.raises(ValueError, match="there is no GPU here"):
        chosen("cuda")


def test_a_cpu_runs_plain_torch() -> None:
    assert device_of("cpu", "bfloat16").target == "torch"
    assert device_of("cpu", "bfloat16").dtype == torch.bfloat16
