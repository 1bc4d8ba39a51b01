"""`mixerc bench`: a core's time as ratios to what one would use instead, in one run.

On a CPU against a loop over tokens and causal attention; on a GPU against other people's kernels
for the same mixer, causal attention and the floor of the plan at rates measured in the same run.
"""

from mixerc.bench.clock import interleaved
from mixerc.bench.device import chosen
from mixerc.bench.opponents import token_loop
from mixerc.bench.report import BenchReport
from mixerc.bench.run import bench

__all__ = ["BenchReport", "bench", "chosen", "interleaved", "token_loop"]
