"""The report of a GPU, from given numbers."""

from dataclasses import replace

from mixerc.bench.measured import Decoding, Measured, Row
from mixerc.bench.table import table
from mixerc.plan.floor import Floor, Rates

RATES = Rates(bandwidth=1e12, products=1e14)
LEAST = Floor(moved=1e9, products=5e10)
SECONDS = {"mixer": 2e-3, "fla": 3e-3, "attention": 1e-3}
FOUND = Measured(
    about=("gla on a device", "torch 2", "fla: fla.ops.gla.chunk_gla"),
    rates=RATES,
    forward=(
        Row(tokens=1024, batch=64, seconds=SECONDS, floor=LEAST),
        Row(tokens=2048, batch=32, seconds={"mixer": 2e-3, "attention": 4e-3}, floor=LEAST),
    ),
    both=(Row(tokens=1024, batch=64, seconds={"fla": 1.0}, floor=Floor(moved=1e9, products=4e11)),),
    decoding=Decoding(batch=4096, moved=2e9, seconds={"mixer": 4e-3, "fla": 6e-3}),
    difference=2.5e-3,
    notes=("mixer, forward and backward at 1,024 tokens, OutOfMemoryError: out of memory",),
)
TEXT = """\
gla on a device
torch 2
fla: fla.ops.gla.chunk_gla
measured: copy 1,000 GB/s (read and written), products 100.0 TFLOP/s

forward
   tokens   batch   mixer, ms   floor, ms    set by  of floor  fla / mixer  attention / mixer
    1,024      64       2.000       1.000     bytes       50%         1.50               0.50
    2,048      32       2.000       1.000     bytes       50%            -               2.00

forward and backward
   tokens   batch   mixer, ms   floor, ms    set by  of floor  fla / mixer  attention / mixer
    1,024      64           -       4.000  products         -            -                  -

decoding a token for each of 4,096 sequences
  moved at least           2,000.0 MB, states read and written, and streams
  mixer                      4.000 ms, 500 GB/s, 50% of the copy
  fla / mixer                 1.50

outputs of the mixer and of fla differ by 2.5e-03 (relative RMS)

mixer, forward and backward at 1,024 tokens, OutOfMemoryError: out of memory"""


def test_the_whole_report() -> None:
    assert table(FOUND) == TEXT


def test_a_report_without_fla_and_without_failures() -> None:
    alone = replace(FOUND, difference=None, notes=(), decoding=replace(FOUND.decoding, seconds={}))
    assert table(alone).endswith("streams\n  fla / mixer                    -")


def test_medians_have_names() -> None:
    assert FOUND.medians["fla at 1024 with backward"] == 1.0
    assert FOUND.medians["attention at 2048"] == 4e-3
    assert FOUND.medians["mixer decode"] == 4e-3
