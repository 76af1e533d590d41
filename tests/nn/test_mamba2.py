"""Mamba-2 against a sequential scan and against transformers, in values and gradients."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.nn import mamba2
from harness.nn.mamba2 import DENSE_LENGTH, Mamba2, fused_scan, scan_for, ssd_chunked, ssd_dense


def sequential(x, dt, A, B, C):
    """The recurrence as it is written, one step at a time."""
    batch, length, heads, width = x.shape
    share = heads // B.shape[2]
    B, C = B.repeat_interleave(share, dim=2), C.repeat_interleave(share, dim=2)
    state = x.new_zeros(batch, heads, width, B.shape[-1])
    out = []
    for t in range(length):
        decay = torch.exp(dt[:, t] * A)[..., None, None]
        state = decay * state + (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, :, None, :]
        out.append((state * C[:, t, :, None, :]).sum(dim=-1))
    return torch.stack(out, dim=1)


def problem(length, *, heads=4, groups=1, width=8, states=6, batch=2, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    dt = F.softplus(normal(batch, length, heads) - 1)
    A = -torch.exp(normal(heads))
    values = normal(batch, length, heads, width), dt, A
    return (*values, normal(batch, length, groups, states), normal(batch, length, groups, states))


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 90),
    chunk=st.integers(1, 40),
    groups=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 999),
)
def test_both_forms_equal_the_recurrence(length, chunk, groups, seed):
    given_ = problem(length, groups=groups, seed=seed, dtype=torch.float64)
    expected = sequential(*given_)
    torch.testing.assert_close(ssd_dense(*given_), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ssd_chunked(*given_, chunk=chunk), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", [ssd_dense, ssd_chunked])
def test_gradients_equal_those_of_the_recurrence(form):
    given_ = problem(70, groups=2, dtype=torch.float64)
    weight = torch.randn(2, 70, 4, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    grads = []
    for scan in (form, sequential):
        leaves = [value.clone().requires_grad_() for value in given_]
        (scan(*leaves) * weight).sum().backward()
        grads.append([leaf.grad for leaf in leaves])
    for gradient, expected in zip(*grads):
        assert expected.abs().max() > 1e-3
        torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-8)


def test_single_precision_stays_close_over_257_steps():
    given_ = problem(257)
    expected = sequential(*(value.double() for value in given_)).float()
    assert (ssd_dense(*given_) - expected).abs().max() < 2e-4
    assert (ssd_chunked(*given_) - expected).abs().max() < 2e-4


def test_strong_decay_gives_no_infinities():
    x, dt, A, B, C = problem(200)
    for form in (ssd_dense, ssd_chunked):
        leaves = [value.clone().requires_grad_() for value in (x, dt * 50, A * 50, B, C)]
        out = form(*leaves)
        out.sum().backward()
        assert torch.isfinite(out).all()
        assert all(torch.isfinite(leaf.grad).all() for leaf in leaves)


def test_parameters_have_the_names_and_shapes_of_mamba_ssm():
    layer = Mamba2(512)  # its defaults: d_state 128, d_conv 4, expand 2, headdim 64, ngroups 1
    shapes = {name: tuple(value.shape) for name, value in layer.state_dict().items()}
    assert shapes == {
        "dt_bias": (16,),
        "A_log": (16,),
        "D": (16,),
        "in_proj.weight": (2320, 512),
        "conv1d.weight": (1280, 1, 4),
        "conv1d.bias": (1280,),
        "norm.weight": (1024,),
        "out_proj.weight": (512, 1024),
    }
    steps = F.softplus(layer.dt_bias)
    assert ((steps > 0.00099) & (steps < 0.101)).all()
    assert ((layer.A_log.exp() >= 1) & (layer.A_log.exp() <= 16)).all()


@pytest.mark.parametrize(("length", "groups"), [(5, 1), (70, 2), (150, 1)])
def test_layer_equals_transformers_in_values_and_gradients(length, groups):
    pytest.importorskip("transformers", reason="transformers is not installed")
    from transformers import Mamba2Config
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    torch.manual_seed(length)
    ours = Mamba2(32, d_state=12, headdim=16, ngroups=groups)
    config = Mamba2Config(
        hidden_size=32,
        state_size=12,
        num_heads=4,
        head_dim=16,
        n_groups=groups,
        expand=2,
        conv_kernel=4,
        chunk_size=32,
        num_hidden_layers=1,
        layer_norm_epsilon=1e-5,
        use_bias=False,
        use_conv_bias=True,
        vocab_size=8,
    )
    theirs = Mamba2Mixer(config, layer_idx=0)
    with torch.no_grad():
        ours.norm.weight.uniform_(0.5, 1.5)
        ours.D.uniform_(0.5, 1.5)
    theirs.load_state_dict(ours.state_dict())
    u = torch.randn(2, length, 32)
    weight = torch.randn(2, length, 32)
    outputs, expected, grads = [], [], []
    for layer, out in ((ours, outputs), (theirs, expected)):
        leaf = u.clone().requires_grad_()
        y = layer(leaf)
        (y * weight).sum().backward()
        out.append(y)
        grads.append({"input": leaf.grad, **{name: p.grad for name, p in layer.named_parameters()}})
    torch.testing.assert_close(outputs[0], expected[0], rtol=1e-4, atol=2e-5)
    assert grads[0].keys() == grads[1].keys()
    for name, mine in grads[0].items():
        scale = grads[1][name].abs().max()
        assert scale > 0, name
        assert (mine - grads[1][name]).abs().max() < 1e-3 * scale, name


@settings(max_examples=10, deadline=None)
@given(cut=st.integers(1, 39), seed=st.integers(0, 99))
def test_the_layer_is_causal(cut, seed):
    torch.manual_seed(seed)
    layer = Mamba2(16, d_state=8, headdim=16)
    u = torch.randn(1, 40, 16)
    changed = u.clone()
    changed[:, cut:] += 1
    with torch.no_grad():
        before, after = layer(u), layer(changed)
    torch.testing.assert_close(before[:, :cut], after[:, :cut])
    assert not torch.allclose(before[:, cut:], after[:, cut:])


def test_a_layer_refuses_heads_that_do_not_fit():
    with pytest.raises(ValueError, match="64 inner channels cannot be cut into heads of 48"):
        Mamba2(32, headdim=48)


@pytest.mark.parametrize(("length", "scan"), [(DENSE_LENGTH, ssd_dense), (DENSE_LENGTH + 1, ssd_chunked)])
def test_the_form_follows_the_length(length, scan):
    assert scan_for(torch.zeros(1, length, 2, 4), torch.zeros(1, length, 1, 8)) is scan


SIZES = (4, 16, 2, 8)
"""Heads, their width, groups, states."""


@pytest.fixture
def kernel(monkeypatch):
    """``kernel(function)`` stands where mamba-ssm's is imported."""
    names = ["mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.triton", "mamba_ssm.ops.triton.ssd_combined"]

    def put(function):
        for name in names:
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        sys.modules[names[-1]].mamba_chunk_scan_combined = function
        fused_scan.cache_clear()

    yield put
    fused_scan.cache_clear()


def right(x, dt, A, B, C, chunk):
    return ssd_chunked(x, dt, A, B, C, chunk=chunk)


def test_a_kernel_that_computes_the_right_numbers_is_used(kernel):
    shapes = []

    def counted(x, dt, A, B, C, chunk):
        shapes.append((tuple(x.shape[2:]), tuple(B.shape[2:]), chunk))
        return right(x, dt, A, B, C, chunk)

    kernel(counted)
    with torch.inference_mode():  # where a prediction would ask first
        scan = fused_scan("cpu", *SIZES)
    assert shapes == [((4, 16), (2, 8), mamba2.CHUNK)]  # tried once, at the sizes it is wanted for
    values = problem(30)
    torch.testing.assert_close(scan(*values), ssd_dense(*values), rtol=1e-4, atol=1e-5)
    assert len(shapes) == 2
    assert fused_scan("cpu", *SIZES) is scan
    assert len(shapes) == 2
    fused_scan("cpu", 4, 16, 2, 12)
    assert len(shapes) == 3


class _WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 1.1 * gradient


def wrong_values(x, dt, A, B, C, chunk):
    return ssd_dense(x, dt, A, B, C) * 1.1


def wrong_gradients(x, dt, A, B, C, chunk):
    return ssd_dense(x, dt, A, _WrongGradient.apply(B), C)


def undefined(x, dt, A, B, C, chunk):
    return ssd_dense(x, dt, A, B, C) * torch.nan


def broken(*_):
    raise RuntimeError("no kernel image is available")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (wrong_values, "relative error of its values is 0.1"),
        (wrong_gradients, "relative error of its gradient by B is 0.1"),
        (undefined, "relative error of its values is nan"),
        (broken, "RuntimeError: no kernel image"),
    ],
)
def test_any_other_kernel_is_not_used_and_said_so(kernel, function, reason, caplog):
    kernel(function)
    with caplog.at_level("INFO", logger=mamba2.__name__):
        assert fused_scan("cpu", *SIZES) is None
    assert reason in caplog.text


def test_an_import_proves_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "mamba_ssm", types.ModuleType("mamba_ssm"))
    fused_scan.cache_clear()
    assert fused_scan("cpu", *SIZES) is None
    fused_scan.cache_clear()


def test_a_layer_takes_the_kernel_on_cuda_only(kernel, monkeypatch):
    """The choice without a card: the device is asked for, and the kernel wanted at the layer's own sizes."""
    kernel(right)
    layer, u = Mamba2(16, d_state=8, headdim=16), torch.randn(1, 9, 16)
    expected = layer(u)
    assert fused_scan.cache_info().misses == 0
    asked = []

    def chosen(device, *sizes):
        asked.append((device, *sizes))
        return fused_scan("cpu", *sizes)

    class OnCuda:
        """Shape and device of a tensor on a card."""

        def __init__(self, value):
            self.shape, self.device = value.shape, torch.device("cuda", 0)

    monkeypatch.setattr(mamba2, "fused_scan", chosen)
    monkeypatch.setattr(mamba2, "scan_for", lambda x, B: scan_for(OnCuda(x), OnCuda(B)))
    torch.testing.assert_close(layer(u), expected, rtol=1e-4, atol=1e-5)
    assert asked == [("cuda:0", 2, 16, 1, 8)]


@pytest.mark.gpu
def test_scan_on_cuda_equals_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.manual_seed(0)
    layer = Mamba2(64, d_state=64, headdim=64)
    u = torch.randn(2, 257, 64)
    expected = layer(u).detach()
    on_card = layer.to("cuda")(u.to("cuda")).detach().cpu()
    assert np.abs((on_card - expected).numpy()).max() < 1e-2
