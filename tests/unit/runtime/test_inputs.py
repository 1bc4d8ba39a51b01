"""What a compiled mixer says that its core takes."""

import pytest

import mixerc


@pytest.mark.parametrize(
    ("name", "streams", "params"),
    [
        ("gla", {"q", "k", "v", "a"}, set()),
        ("rwkv6", {"r", "k", "v", "w"}, {"u"}),
        ("linformer", {"q", "k", "v"}, {"E", "F"}),
        ("block_sparse", {"q", "k", "v"}, {"layout"}),
        ("bigbird", {"q", "k", "v"}, {"link"}),
        ("documents", {"doc", "q", "k", "v"}, set()),
        ("mamba", {"u", "B", "C", "dt"}, {"A_log", "D"}),
    ],
)
def test_streams_vary_with_the_token(name: str, streams: set[str], params: set[str]) -> None:
    made = mixerc.compile(name)
    assert set(made.streams) == streams
    assert set(made.params) == params
