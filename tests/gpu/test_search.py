from __future__ import annotations

import numpy as np
import pytest
import torch

from cairn.search import search

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("precision", ["highest", "high"])
def test_agrees_with_the_processor(precision: str) -> None:
    generator = torch.Generator().manual_seed(0)
    gallery = torch.nn.functional.normalize(torch.randn(60_000, 256, generator=generator))
    gallery[1000:1200] = gallery[5]
    queries = torch.cat([gallery[:64], torch.nn.functional.normalize(gallery[:64] + 0.02)])
    offsets = -0.1 * torch.rand(len(gallery), generator=generator)
    expected = search(queries, gallery, 20, offsets=offsets)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        on_gpu = search(queries.cuda(), gallery.cuda(), 20, offsets=offsets.cuda())
        half_way = search(queries.cuda(), gallery, 20, offsets=offsets)
    finally:
        torch.set_float32_matmul_precision(before)
    for found in (on_gpu, half_way):
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_array_equal(found.similarities, expected.similarities)
