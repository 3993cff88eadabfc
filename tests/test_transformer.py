"""Spatial transformers on images and feature maps, in parallel and in a row."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F
from torch import Tensor, nn

from rectify.families import Affine, Attention, Composition, Family, Projective, ThinPlateSpline
from rectify.sampler import sample, sample_trilinear
from rectify.transformer import Localization, Parallel, Series, Transformer, concatenated

FAMILIES = [Affine(), Projective(), Attention(), ThinPlateSpline(3, 3), Composition(Affine(), ThinPlateSpline(2, 2))]


def images(channels: int = 1, height: int = 12, width: int = 12, count: int = 4) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))


def transformer(family: Family, features: int = 144, size: tuple[int, int] | None = None) -> Transformer:
    body = nn.Sequential(nn.Flatten(), nn.Linear(features, 16), nn.ReLU())
    return Transformer(family, Localization(family, body, 16), size)


def moved(family: Family, features: int = 144, size: tuple[int, int] | None = None, seed: int = 0) -> Transformer:
    """A transformer that no longer stands at the identity."""
    torch.manual_seed(seed)
    one = transformer(family, features, size)
    nn.init.normal_(one.localization.head.weight, std=0.1)
    return one


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize("channels", [1, 5])
def test_untrained_it_returns_its_input(family: Family, channels: int) -> None:
    source = images(channels)
    output = transformer(family, 144 * channels)(source)
    torch.testing.assert_close(output.image, source, atol=1e-6, rtol=0)
    torch.testing.assert_close(output.theta[0], torch.from_numpy(family.identity()).float())


def test_a_global_initialisation_can_be_undone() -> None:
    one = transformer(Affine())
    one.apply(lambda layer: nn.init.normal_(layer.weight) if isinstance(layer, nn.Linear) else None)
    one.localization.reset_to_identity()
    torch.testing.assert_close(one(images()).image, images(), atol=1e-6, rtol=0)


def test_size_may_change_and_channels_stay() -> None:
    output = transformer(Affine(), 3 * 144, size=(6, 20))(images(3))
    assert output.image.shape == (4, 3, 6, 20)
    assert output.grid.shape == (4, 6, 20, 2)


def test_attention_cuts_out_its_rectangle() -> None:
    one = transformer(Attention(), size=(6, 6))
    with torch.no_grad():
        one.localization.head.bias.copy_(torch.tensor([0.5, 0.5, -0.5]))
    torch.testing.assert_close(one(images()).image, images()[:, :, :6, 6:], atol=1e-6, rtol=0)


def test_the_sampler_can_be_chosen() -> None:
    one = transformer(Affine(), size=(3, 3))
    one.sampler = sample_trilinear
    torch.testing.assert_close(one(images()).image, F.avg_pool2d(images(), 4), atol=1e-5, rtol=0)


def test_it_stands_between_the_layers_of_a_network() -> None:
    """After a convolution, seeing the feature map; all layers get gradients."""
    convolution = nn.Conv2d(1, 4, 3, padding=1)
    between = moved(Affine(), 4 * 144)
    output = between(convolution(images()))
    assert output.image.shape == (4, 4, 12, 12)
    output.image.square().mean().backward()
    for parameter in (convolution.weight, between.localization.head.weight, between.localization.body[1].weight):
        assert parameter.grad is not None and parameter.grad.abs().max() > 0


def test_it_may_share_the_features_of_the_network_it_serves() -> None:
    """The localization network looks at the classifier's features; the input is what is sampled."""
    shared = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    one = moved(Affine(), 2 * 36)
    output = one(images(), seen=shared(images()))
    assert output.image.shape == (4, 1, 12, 12)
    torch.testing.assert_close(output.image, sample(images(), output.grid))
    output.image.square().mean().backward()
    assert shared[0].weight.grad.abs().max() > 0


def test_parallel_ones_have_an_output_each() -> None:
    several = Parallel([moved(Affine(), seed=0), moved(ThinPlateSpline(2, 2), seed=1), transformer(Attention())])
    outputs = several(images())
    assert [output.theta.shape[1] for output in outputs] == [6, 8, 3]
    together = concatenated(outputs)
    assert together.shape == (4, 3, 12, 12)
    for index, output in enumerate(outputs):
        torch.testing.assert_close(together[:, index : index + 1], output.image)
    torch.testing.assert_close(outputs[2].image, images(), atol=1e-6, rtol=0)


def test_parallel_ones_may_differ_in_size_when_fed_apart() -> None:
    outputs = Parallel([transformer(Attention(), size=(4, 4)), transformer(Affine(), size=(5, 7))])(images())
    assert [tuple(output.image.shape[2:]) for output in outputs] == [(4, 4), (5, 7)]


def test_a_row_of_one_is_that_one() -> None:
    one = moved(Projective())
    torch.testing.assert_close(Series([one])(images()).image, one(images()).image)


def test_a_row_samples_the_source_once_along_the_composed_maps() -> None:
    first, then = moved(Affine(), seed=0), moved(ThinPlateSpline(3, 3), seed=1, size=(7, 9))
    row = Series([first, then])
    output = row(images())
    between = first(images())
    theta = torch.cat([between.theta, then.localization(between.image)], 1)
    torch.testing.assert_close(output.theta, theta)
    assert row.family == Composition(Affine(), ThinPlateSpline(3, 3))
    torch.testing.assert_close(output.grid, row.family.grid(theta, 7, 9))
    torch.testing.assert_close(output.image, sample(images(), output.grid))


def test_a_row_does_not_lose_what_an_earlier_one_moved_out_of_sight() -> None:
    """The first zooms in, the second zooms out as much: the whole source is back, sharp."""
    first, then = transformer(Attention()), transformer(Attention())
    with torch.no_grad():
        first.localization.head.bias.copy_(torch.tensor([0.5, 0.3, 0.0]))
        then.localization.head.bias.copy_(torch.tensor([2.0, -0.6, 0.0]))
    torch.testing.assert_close(Series([first, then])(images()).image, images(), atol=1e-5, rtol=0)


def test_a_row_may_repeat_one_transformer() -> None:
    one = moved(Affine())
    row = Series([one, one, one])
    assert sum(parameter.numel() for parameter in row.parameters()) == sum(p.numel() for p in one.parameters())
    output = row(images())
    assert output.theta.shape == (4, 18)
    output.image.square().mean().backward()
    assert one.localization.body[1].weight.grad.abs().max() > 0


def test_a_row_among_parallel_ones() -> None:
    outputs = Parallel([Series([moved(Affine()), moved(Affine())]), moved(Affine())])(images())
    assert concatenated(outputs).shape == (4, 2, 12, 12)


def test_half_precision_keeps_the_grid() -> None:
    one = moved(ThinPlateSpline(4, 4))
    with torch.autocast("cpu", torch.bfloat16):
        output = one(images())
    assert output.grid.dtype == torch.float32
    torch.testing.assert_close(output.grid, ThinPlateSpline(4, 4).grid(output.theta.float(), 12, 12), atol=0, rtol=0)


def test_a_checkpoint_serves_any_size() -> None:
    small, large = moved(Affine(), size=(4, 4)), transformer(Affine(), size=(20, 30))
    large.load_state_dict(small.state_dict())
    assert large(images()).image.shape == (4, 1, 20, 30)
    assert sorted(small.state_dict()) == [
        "localization.body.1.bias",
        "localization.body.1.weight",
        "localization.head.bias",
        "localization.head.weight",
    ]
