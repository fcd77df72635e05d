"""The chunk that the streamer's tests send."""

import numpy as np

from genima_core.arm import READY

K = 20
CHUNK_S = 0.05 * np.arange(K)
END_S = CHUNK_S[-1]
HOME = READY
