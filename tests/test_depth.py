"""A deepened network computes what it computed before, and its new blocks learn; of a shallower one the rest stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from recognizer.network import RecognitionNetwork, RecognizerConfig
from rectify.network import LocalizationConfig, build_localization
from train.depth import change_depth

READER = RecognizerConfig(charset="abc", stem=4, channels=(4, 6, 8), blocks=(1, 0, 1), hidden=4)
LOCALIZER = LocalizationConfig(rows=2, cols=3, thumbnail=(32, 16), channels=(4, 6), blocks=(0, 1))


def grown(kind: str, blocks: tuple[int, ...]) -> tuple[torch.nn.Module, torch.nn.Module, set[str]]:
    """A trained-looking network, the deeper one that has its weights, and the names that are new."""
    torch.manual_seed(0)
    config = READER if kind == "recognizer" else replace(LOCALIZER, family="affine" if kind == "affine" else "tps")
    build = RecognitionNetwork if kind == "recognizer" else build_localization
    old, new = build(config), build(replace(config, blocks=blocks))
    for value in old.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 1.0)
    tensors, added, dropped = change_depth(
        kind.replace("affine", "rectifier"), old.state_dict(), config.blocks, new.state_dict(), blocks
    )
    assert not dropped
    new.load_state_dict(tensors)
    return old.eval(), new.eval(), added


@pytest.mark.parametrize(
    ("kind", "blocks", "picture"),
    [
        ("recognizer", (2, 3, 1), (2, 3, 32, 64)),
        ("rectifier", (1, 2), (2, 3, 16, 32)),
        ("refiner", (0, 3), (2, 3, 16, 32)),
        ("affine", (1, 2), (2, 3, 16, 32)),
    ],
)
def test_a_deeper_network_computes_the_same(kind: str, blocks: tuple[int, ...], picture: tuple[int, ...]) -> None:
    old, new, added = grown(kind, blocks)
    pictures = torch.rand(picture) * 255
    assert added
    assert torch.allclose(old(pictures), new(pictures), atol=1e-5)


def test_the_added_blocks_learn() -> None:
    _, new, added = grown("recognizer", (1, 1, 2))
    new.train()(torch.rand(2, 3, 32, 64) * 255).square().sum().backward()
    scales = {name: value.grad for name, value in new.named_parameters() if name in added and "body.4.weight" in name}
    assert len(scales) == 2
    assert all(gradient.abs().max() > 0 for gradient in scales.values())


@pytest.mark.parametrize("blocks", [(0, 0, 1), (0, 2, 0)])
def test_a_shallower_network_keeps_what_it_has_a_place_for(blocks: tuple[int, ...]) -> None:
    deep, wanted = (RecognitionNetwork(replace(READER, blocks=depth)) for depth in ((1, 1, 1), blocks))
    shallow = change_depth("recognizer", deep.state_dict(), (1, 1, 1), wanted.state_dict(), blocks)
    assert shallow.dropped and shallow.dropped <= deep.state_dict().keys()
    wanted.load_state_dict(shallow.tensors)
    # Put back, the blocks that went give the old network: nothing else moved.
    whole = change_depth("recognizer", shallow.tensors, blocks, deep.state_dict(), (1, 1, 1)).tensors
    assert whole.keys() == deep.state_dict().keys()
    kept = deep.state_dict().keys() - shallow.dropped
    assert all(torch.equal(whole[name], deep.state_dict()[name]) for name in kept)


def test_other_stages_are_left_to_the_loader_to_refuse() -> None:
    old = RecognitionNetwork(READER).state_dict()
    carried = change_depth("recognizer", old, READER.blocks, {}, (0, 1))
    assert carried.tensors.keys() == old.keys() and not carried.added and not carried.dropped
