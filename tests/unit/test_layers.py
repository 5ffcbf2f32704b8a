import pytest
import torch

from cairn.config import ModelConfig
from cairn.layers import AveragePool, GeM, GlobalContext, build_pool


def test_gem_equals_the_formula_and_its_limits() -> None:
    features = torch.rand(2, 5, 4, 3) + 0.1
    by_hand = features.pow(3).mean(dim=(2, 3)).pow(1 / 3)
    torch.testing.assert_close(GeM(3.0)(features), by_hand)
    torch.testing.assert_close(GeM(1.0)(features), AveragePool()(features))
    torch.testing.assert_close(GeM(200.0)(features), features.amax(dim=(2, 3)), rtol=0.02, atol=0)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("p", [0.5, 1.0, 3.0, 6.5, 40.0])
def test_gem_and_its_derivatives_against_the_formula_in_float64(p: float, mode: str) -> None:
    """Magnitudes from 1e-5 to 1e4, a channel of zeros, negative values: no power overflows."""
    torch.manual_seed(0)
    features = torch.randn(3, 6, 5, 4)
    features *= torch.tensor([1e-5, 1e-2, 1.0, 30.0, 1e4, 0.0])[:, None, None]
    weights = torch.randn(3, 6)
    pool = GeM(p).train(mode == "train")
    x = features.clone().requires_grad_()
    out = pool(x)
    (out * weights).sum().backward()

    exact = features.double().requires_grad_()
    exponent = torch.tensor(p, dtype=torch.float64, requires_grad=True)
    expected = exact.clamp(min=1e-6).pow(exponent).mean(dim=(2, 3)).pow(1 / exponent)
    torch.autograd.backward((expected * weights).sum())
    assert x.grad is not None
    assert exact.grad is not None
    assert pool.p.grad is not None
    assert exponent.grad is not None
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(x.grad.double(), exact.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(pool.p.grad.double(), exponent.grad.view(1), rtol=1e-4, atol=1e-5)


def test_a_fixed_exponent_is_a_buffer_and_pools_alike() -> None:
    fixed, learned = GeM(2.5, learned=False), GeM(2.5)
    assert list(fixed.parameters()) == []
    assert {k: v.tolist() for k, v in fixed.state_dict().items()} == {"p": [2.5]}
    features = torch.rand(2, 3, 4, 4, requires_grad=True)
    out = fixed(features)
    out.sum().backward()
    torch.testing.assert_close(out, learned(features))
    learned.load_state_dict(fixed.state_dict())


@pytest.mark.parametrize(
    ("pool", "kind", "num_parameters"),
    [("gem", GeM, 1), ("gem-fixed", GeM, 0), ("avg", AveragePool, 0), ("own", type(None), 0)],
)
def test_pools_by_name(pool: str, kind: type, num_parameters: int) -> None:
    made = build_pool(ModelConfig.model_validate({"pool": pool, "gem_p": 4.0}))
    assert isinstance(made, kind)
    assert len(list(made.parameters())) == num_parameters if made is not None else pool == "own"
    if isinstance(made, GeM):
        assert made.p.item() == 4.0


def test_gem_learns_its_exponent_and_survives_zeros() -> None:
    pool = GeM()
    pool(torch.zeros(1, 2, 3, 3).requires_grad_()).sum().backward()
    assert pool.p.grad is not None
    assert torch.isfinite(pool.p.grad).all()


@pytest.mark.parametrize("learned", [True, False])
def test_gem_s_written_derivatives_are_autograd_s(learned: bool) -> None:
    """Training against the formula that evaluation uses, zeros and values below eps among them."""
    torch.manual_seed(0)
    features = torch.relu(torch.randn(3, 5, 4, 3)).to(memory_format=torch.channels_last)
    features[0, 0] = 0.0
    weights = torch.randn(3, 5)
    found = []
    for pool in (GeM(2.5).train(), GeM(2.5).eval()):
        pool.p.requires_grad_(learned)
        x = features.clone().requires_grad_()
        out = pool(x)
        (out * weights).sum().backward()
        assert x.grad is not None
        found.append((out, x.grad, pool.p.grad))
    (out, dx, dp), (plain_out, plain_dx, plain_dp) = found
    torch.testing.assert_close(out, plain_out)
    torch.testing.assert_close(dx, plain_dx, rtol=1e-4, atol=1e-6)
    if learned:
        torch.testing.assert_close(dp, plain_dp, rtol=1e-4, atol=1e-6)
    else:
        assert dp is None
    assert dx.is_contiguous(memory_format=torch.channels_last)


def test_gem_is_float32_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert GeM()(torch.rand(1, 2, 3, 3).bfloat16()).dtype == torch.float32


def test_fresh_global_context_changes_nothing() -> None:
    features = torch.randn(2, 16, 5, 4)
    torch.testing.assert_close(GlobalContext(16)(features), features)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_global_context_equals_the_equation(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    block = GlobalContext(16)
    torch.nn.init.normal_(block.expand.weight)
    features = torch.randn(2, 16, 5, 4).to(memory_format=layout)
    block.keep_mask = True
    out = block(features)
    weights = torch.exp(block.attend(features))
    weights = weights / weights.sum(dim=(2, 3), keepdim=True)
    context = (features * weights).sum(dim=(2, 3))
    change = block.expand(torch.relu(block.norm(block.squeeze(context))))
    torch.testing.assert_close(out, features + change[:, :, None, None])
    assert out.is_contiguous(memory_format=layout)
    assert block.last_mask is not None
    assert block.last_mask.shape == (2, 5, 4)
    torch.testing.assert_close(block.last_mask.sum(dim=(1, 2)), torch.ones(2))


@pytest.mark.parametrize("channels", [8, 64])
def test_global_context_passes_gradients(channels: int) -> None:
    block = GlobalContext(channels)
    torch.nn.init.normal_(block.expand.weight)
    block(torch.randn(2, channels, 4, 4)).square().sum().backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
