"""Histogram bounds. Prometheus reads a quantile to within the bucket it falls in, so the bounds set the error.

Between 4 ms and 75 s two neighbouring bounds differ by less than a tenth. A quantile read from them by
`histogram_quantile` is therefore within 10 % of the exact one, whatever the distribution: also where every value is the
same, as with photos of one size under one cap. Outside that range the bounds are coarse and only say "less" or "more".
"""

from itertools import pairwise

PER_DECADE = 25  # 10^(1/25) = 1.096

SECONDS = (
    0.001,
    0.002,
    0.003,
    *(float(f"{10 ** (step / PER_DECADE):.4g}") for step in range(-60, 48)),
    100.0,
    150.0,
    300.0,
    600.0,
)
FINEST, LONGEST = SECONDS[3], SECONDS[-5]  # the range of the promise
ERROR = max(high / low - 1 for low, high in pairwise(SECONDS[3:-4]))

# Achieved over configured rate: edges at the tolerances that a lab speaks of (0.5, 1, 2, 5, 10 %), finer towards 1.
RATIO = (
    *(0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998),
    *(1.0, 1.002, 1.005, 1.01, 1.015, 1.02, 1.03, 1.05, 1.1, 1.25, 1.5, 2.0, 5.0),
)

# Loop lag: about a fifth of a quantum upwards.
LAG = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
