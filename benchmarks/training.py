"""CPU time an image of a training step: the default system, and a TPS-ResNet-BiLSTM-Attn of 49.6 million parameters.

A step is forward, loss, backward and the optimiser's; batches are loaded before. One core each.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace

import common
import torch
import torch.nn.functional as F
from classic import trba

from data.loader import BatchDataset, Source, View
from train.config import load_config
from train.loop import Training
from train.train_command import CONFIGS


def main() -> None:
    parser = common.parser(__doc__, "python benchmarks/training.py words.lmdb --rounds 3 --json training.json")
    parser.add_argument("lmdb", metavar="LMDB", help="synthetic words, as rectify-ocr synth makes them")
    parser.add_argument("--batch", type=int, default=128, help="of this project (default %(default)s)")
    parser.add_argument("--trba-batch", type=int, default=16, help="of the other (default %(default)s)")
    parser.add_argument("--precision", default="float32", help="float32 or bf16, of this project")
    arguments = parser.parse_args()
    config = replace(
        load_config(CONFIGS / "light.yaml"),
        sources={"words": Source((arguments.lmdb,))},
        batch_size=arguments.batch,
        threads=1,
        precision=arguments.precision,
        out=tempfile.mkdtemp(),
    )
    training = Training(config)
    training.step = config.steps // 2  # after the alignment loss, as most steps are
    view = View.of(config.localization, config.recognizer)
    batch = BatchDataset(config.sources, config.batch_size, view, 1)[0]
    network = trba()
    optimizer = torch.optim.Adadelta(network.parameters())
    pictures = torch.randint(0, 256, (arguments.trba_batch, 3, 32, 100), dtype=torch.uint8)
    letters = torch.randint(2, 38, (arguments.trba_batch, 8))

    def step() -> None:
        optimizer.zero_grad()
        scores = network(pictures, letters)
        F.cross_entropy(scores[:, :8].flatten(0, 1), letters.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5)
        optimizer.step()

    tasks = {"rectify-ocr": lambda: training.take_step(batch), "TRBA": step}
    sizes = {"rectify-ocr": arguments.batch, "TRBA": arguments.trba_batch}
    seconds = common.interleaved(tasks, arguments.rounds)
    per_image = {name: [1e3 * s / sizes[name] for s in values] for name, values in seconds.items()}
    parameters = sum(p.numel() for p in network.parameters())
    common.report(arguments, "training", "ms CPU an image", per_image, TRBA_parameters=parameters)


if __name__ == "__main__":
    main()
