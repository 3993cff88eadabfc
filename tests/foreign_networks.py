"""Other projects' recognisers as tables of published tensor names and shapes, computed here straight from the names."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Tensors = dict[str, Tensor]

CHANNELS, HIDDEN = 64, 16
"""Small ones, for speed; the names do not depend on them."""


class Table:
    """Random tensors by name."""

    def __init__(self, seed: int = 0) -> None:
        self.tensors: Tensors = {}
        self.generator = torch.Generator().manual_seed(seed)

    def add(self, name: str, *shape: int, scale: float | None = None) -> None:
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 16
        values = torch.randn(shape, generator=self.generator) * (scale or (1.5 / fan_in) ** 0.5)
        self.tensors[name] = values

    def layer(self, name: str, *shape: int, bias: bool = True) -> None:
        self.add(f"{name}.weight", *shape)
        if bias:
            self.add(f"{name}.bias", shape[0])

    def norm(self, name: str, channels: int) -> None:
        for value in ("weight", "bias", "running_mean"):
            self.add(f"{name}.{value}", channels)
        self.tensors[f"{name}.weight"] = 0.6 + 0.5 * self.tensors[f"{name}.weight"]
        self.tensors[f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=self.generator)
        self.tensors[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def recurrent(self, name: str, inputs: int, hidden: int, gates: int, suffixes: tuple[str, ...]) -> None:
        for suffix in suffixes:
            self.add(f"{name}.weight_ih{suffix}", gates * hidden, inputs)
            self.add(f"{name}.weight_hh{suffix}", gates * hidden, hidden)
            self.add(f"{name}.bias_ih{suffix}", gates * hidden)
            self.add(f"{name}.bias_hh{suffix}", gates * hidden)


def dtrb_tensors(
    transformation: str, encoder: str, sequence: str, head: str, classes: int, channels: int = CHANNELS, inputs: int = 1
) -> Tensors:
    """Tensors of one of deep-text-recognition-benchmark's networks."""
    table = Table()
    if transformation == "TPS":
        before = inputs
        for index, width in zip((0, 4, 8, 12), (64, 128, 256, 512), strict=True):
            table.layer(f"Transformation.LocalizationNetwork.conv.{index}", width, before, 3, 3, bias=False)
            table.norm(f"Transformation.LocalizationNetwork.conv.{index + 1}", width)
            before = width
        table.layer("Transformation.LocalizationNetwork.localization_fc1.0", 256, 512)
        table.layer("Transformation.LocalizationNetwork.localization_fc2", 40, 256)
        edges = np.linspace(-1, 1, 10)
        points = [np.stack([edges, np.full(10, y)], 1) for y in (-0.8, 0.8)]
        bias = torch.from_numpy(np.concatenate(points).ravel()).float()
        table.tensors["Transformation.LocalizationNetwork.localization_fc2.bias"] = bias
        table.tensors["Transformation.LocalizationNetwork.localization_fc2.weight"] *= 0.3
        table.tensors["Transformation.GridGenerator.inv_delta_C"] = torch.zeros(23, 23)
        table.tensors["Transformation.GridGenerator.P_hat"] = rare_terms(20, 32, 100)
    net = "FeatureExtraction.ConvNet"
    a, b, c, d = channels // 8, channels // 4, channels // 2, channels
    if encoder == "VGG":
        for index, shape in {0: (a, inputs), 3: (b, a), 6: (c, b), 8: (c, c)}.items():
            table.layer(f"{net}.{index}", *shape, 3, 3)
        for index, shape in {11: (d, c), 14: (d, d)}.items():
            table.layer(f"{net}.{index}", *shape, 3, 3, bias=False)
            table.norm(f"{net}.{index + 1}", d)
        table.layer(f"{net}.18", d, d, 2, 2)
    elif encoder == "RCNN":
        table.layer(f"{net}.0", a, inputs, 3, 3)
        for index, (before, width) in {3: (a, a), 5: (a, b), 7: (b, c)}.items():
            for name, source, size in (
                ("wgf_u", before, 1),
                ("wgr_x", width, 1),
                ("wf_u", before, 3),
                ("wr_x", width, 3),
            ):
                table.layer(f"{net}.{index}.{name}", width, source, size, size, bias=False)
            table.norm(f"{net}.{index}.BN_x_init", width)
            for step in range(5):
                for name in ("BN_gfu", "BN_grx", "BN_fu", "BN_rx", "BN_Gx"):
                    table.norm(f"{net}.{index}.GRCL.{step}.{name}", width)
        table.layer(f"{net}.9", d, c, 2, 2, bias=False)
        table.norm(f"{net}.10", d)
    else:
        _add_resnet(table, net, inputs, channels)
    features = channels
    if sequence == "BiLSTM":
        for index in range(2):
            table.recurrent(f"SequenceModeling.{index}.rnn", features, HIDDEN, 4, ("_l0", "_l0_reverse"))
            table.layer(f"SequenceModeling.{index}.linear", HIDDEN, 2 * HIDDEN)
            features = HIDDEN
    if head == "CTC":
        table.layer("Prediction", classes, features)
    else:
        cell = "Prediction.attention_cell"
        table.layer(f"{cell}.i2h", HIDDEN, features, bias=False)
        table.layer(f"{cell}.h2h", HIDDEN, HIDDEN)
        table.layer(f"{cell}.score", 1, HIDDEN, bias=False)
        table.recurrent(f"{cell}.rnn", features + classes, HIDDEN, 4, ("",))
        table.layer("Prediction.generator", classes, HIDDEN)
    return table.tensors


def _add_resnet(table: Table, net: str, inputs: int, channels: int) -> None:
    def conv(name: str, norm: str, width: int, before: int, size: int = 3) -> None:
        table.layer(f"{net}.{name}", width, before, size, size, bias=False)
        table.norm(f"{net}.{norm}", width)

    conv("conv0_1", "bn0_1", channels // 16, inputs)
    conv("conv0_2", "bn0_2", channels // 8, channels // 16)
    before = channels // 8
    for stage, (width, blocks) in enumerate(
        zip((channels // 4, channels // 2, channels, channels), (1, 2, 5, 3), strict=True), start=1
    ):
        for block in range(blocks):
            conv(f"layer{stage}.{block}.conv1", f"layer{stage}.{block}.bn1", width, before)
            conv(f"layer{stage}.{block}.conv2", f"layer{stage}.{block}.bn2", width, width)
            if before != width:
                conv(f"layer{stage}.{block}.downsample.0", f"layer{stage}.{block}.downsample.1", width, before, 1)
            before = width
        if stage < 4:
            conv(f"conv{stage}", f"bn{stage}", width, width)
    conv("conv4_1", "bn4_1", channels, channels, 2)
    conv("conv4_2", "bn4_2", channels, channels, 2)


def aster_tensors(classes: int = 97, units: int = 24, lstm: bool = True, stn: bool = True) -> Tensors:
    """Tensors of aster.pytorch."""
    table = Table(1)
    table.layer("encoder.layer0.0", 32, 3, 3, 3, bias=False)
    table.norm("encoder.layer0.1", 32)
    before = 32
    for stage, (width, blocks) in enumerate(((32, 3), (64, 4), (128, 6), (256, 6), (512, 3)), start=1):
        for block in range(blocks):
            name = f"encoder.layer{stage}.{block}"
            table.layer(f"{name}.conv1", width, before, 1, 1, bias=False)
            table.norm(f"{name}.bn1", width)
            table.layer(f"{name}.conv2", width, width, 3, 3, bias=False)
            table.norm(f"{name}.bn2", width)
            if block == 0:
                table.layer(f"{name}.downsample.0", width, before, 1, 1, bias=False)
                table.norm(f"{name}.downsample.1", width)
            before = width
    if lstm:
        table.recurrent("encoder.rnn", 512, 256, 4, ("_l0", "_l0_reverse", "_l1", "_l1_reverse"))
    decoder = "decoder.decoder"
    table.layer(f"{decoder}.attention_unit.sEmbed", units, units)
    table.layer(f"{decoder}.attention_unit.xEmbed", units, 512)
    table.layer(f"{decoder}.attention_unit.wEmbed", 1, units)
    table.add(f"{decoder}.tgt_embedding.weight", classes + 1, units)
    table.recurrent(f"{decoder}.gru", units + 512, units, 3, ("_l0",))
    table.layer(f"{decoder}.fc", classes, units)
    if stn:
        before = 3
        for index, width in zip(range(0, 12, 2), (32, 64, 128, 256, 256, 256), strict=True):
            table.layer(f"stn_head.stn_convnet.{index}.0", width, before, 3, 3)
            table.norm(f"stn_head.stn_convnet.{index}.1", width)
            before = width
        table.layer("stn_head.stn_fc1.0", 512, 512)
        table.norm("stn_head.stn_fc1.1", 512)
        table.layer("stn_head.stn_fc2", 40, 512)
        x = np.linspace(0.01, 0.99, 10)
        points = [np.stack([x, np.full(10, y)], 1) for y in (0.03, 0.96)]
        table.tensors["stn_head.stn_fc2.bias"] = torch.from_numpy(np.concatenate(points).ravel()).float()
        table.tensors["tps.padding_matrix"] = torch.zeros(3, 2)
        table.tensors["tps.inverse_kernel"] = torch.zeros(23, 23)
        y, x = np.mgrid[:32, :100]
        grid = np.stack([x.ravel() / 99, y.ravel() / 31], 1)
        table.tensors["tps.target_coordinate_repr"] = torch.from_numpy(np.pad(grid, ((0, 0), (21, 0)))).float()
        table.tensors["tps.target_control_points"] = aster_canonical()
    return table.tensors


class Reference:
    """Computes a network from its tensors' names, by torch.nn.functional alone."""

    def __init__(self, tensors: Tensors) -> None:
        self.t = tensors

    def conv(self, name: str, x: Tensor, **options: object) -> Tensor:
        return F.conv2d(x, self.t[f"{name}.weight"], self.t.get(f"{name}.bias"), **options)  # type: ignore[arg-type]

    def norm(self, name: str, x: Tensor) -> Tensor:
        t = self.t
        mean, var = t[f"{name}.running_mean"], t[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, t[f"{name}.weight"], t[f"{name}.bias"])

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.t[f"{name}.weight"], self.t.get(f"{name}.bias"))

    def lstm(self, name: str, x: Tensor, layers: int = 1) -> Tensor:
        for layer in range(layers):
            both = []
            for suffix in ("", "_reverse"):
                weights = [
                    self.t[f"{name}.{w}_l{layer}{suffix}"] for w in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                ]
                hidden = cell = x.new_zeros(len(x), weights[1].shape[1])
                out = []
                for frame in range(x.shape[1]) if not suffix else reversed(range(x.shape[1])):
                    hidden, cell = lstm_cell(x[:, frame], hidden, cell, *weights)
                    out.append(hidden)
                both.append(torch.stack(out if not suffix else out[::-1], 1))
            x = torch.cat(both, 2)
        return x

    def dtrb(self, image: Tensor, encoder: str, steps: int = 26) -> Tensor:
        """Logits of pictures (N, C, 32, W) in -1..1."""
        if "Transformation.LocalizationNetwork.localization_fc2.weight" in self.t:
            image = self.rare_rectified(image)
        x = {"VGG": self.vgg, "RCNN": self.rcnn, "ResNet": self.resnet}[encoder](image)
        x = F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), (None, 1)).squeeze(3)
        for index in range(2):
            if f"SequenceModeling.{index}.linear.weight" in self.t:
                x = self.linear(f"SequenceModeling.{index}.linear", self.lstm(f"SequenceModeling.{index}.rnn", x))
        return self.linear("Prediction", x) if "Prediction.weight" in self.t else self.lstm_head(x, steps)

    def lstm_head(self, x: Tensor, steps: int) -> Tensor:
        cell = "Prediction.attention_cell"
        weights = [self.t[f"{cell}.rnn.{w}"] for w in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        classes = len(self.t["Prediction.generator.bias"])
        hidden = memory = x.new_zeros(len(x), HIDDEN)
        letter, out = torch.zeros(len(x), dtype=torch.long), []
        for _ in range(steps):
            energy = torch.tanh(self.linear(f"{cell}.i2h", x) + self.linear(f"{cell}.h2h", hidden)[:, None])
            weight = torch.softmax(self.linear(f"{cell}.score", energy), 1)
            seen = torch.cat([(weight * x).sum(1), torch.eye(classes)[letter]], 1)
            hidden, memory = lstm_cell(seen, hidden, memory, *weights)
            out.append(self.linear("Prediction.generator", hidden))
            letter = out[-1].argmax(1)
        return torch.stack(out, 1)

    def vgg(self, x: Tensor) -> Tensor:
        net = "FeatureExtraction.ConvNet"
        x = F.max_pool2d(F.relu(self.conv(f"{net}.0", x, padding=1)), 2)
        x = F.max_pool2d(F.relu(self.conv(f"{net}.3", x, padding=1)), 2)
        x = F.relu(self.conv(f"{net}.6", x, padding=1))
        x = F.max_pool2d(F.relu(self.conv(f"{net}.8", x, padding=1)), (2, 1))
        x = F.relu(self.norm(f"{net}.12", self.conv(f"{net}.11", x, padding=1)))
        x = F.max_pool2d(F.relu(self.norm(f"{net}.15", self.conv(f"{net}.14", x, padding=1))), (2, 1))
        return F.relu(self.conv(f"{net}.18", x))

    def rcnn(self, x: Tensor) -> Tensor:
        net = "FeatureExtraction.ConvNet"
        x = F.max_pool2d(F.relu(self.conv(f"{net}.0", x, padding=1)), 2)
        x = F.max_pool2d(self.gated(f"{net}.3", x), 2)
        x = F.max_pool2d(self.gated(f"{net}.5", x), 2, (2, 1), (0, 1))
        x = F.max_pool2d(self.gated(f"{net}.7", x), 2, (2, 1), (0, 1))
        return F.relu(self.norm(f"{net}.10", self.conv(f"{net}.9", x)))

    def gated(self, name: str, u: Tensor) -> Tensor:
        x = F.relu(self.norm(f"{name}.BN_x_init", self.conv(f"{name}.wf_u", u, padding=1)))
        for step in range(5):
            norm = f"{name}.GRCL.{step}"
            gate = self.norm(f"{norm}.BN_gfu", self.conv(f"{name}.wgf_u", u))
            gate = torch.sigmoid(gate + self.norm(f"{norm}.BN_grx", self.conv(f"{name}.wgr_x", x)))
            again = self.norm(f"{norm}.BN_rx", self.conv(f"{name}.wr_x", x, padding=1)) * gate
            seen = self.norm(f"{norm}.BN_fu", self.conv(f"{name}.wf_u", u, padding=1))
            x = F.relu(seen + self.norm(f"{norm}.BN_Gx", again))
        return x

    def resnet(self, x: Tensor) -> Tensor:
        net = "FeatureExtraction.ConvNet"

        def layer(conv: str, norm: str, x: Tensor, **options: object) -> Tensor:
            return F.relu(self.norm(f"{net}.{norm}", self.conv(f"{net}.{conv}", x, **options)))

        x = layer("conv0_2", "bn0_2", layer("conv0_1", "bn0_1", x, padding=1), padding=1)
        x = self.stage(f"{net}.layer1", F.max_pool2d(x, 2), 1)
        x = self.stage(f"{net}.layer2", F.max_pool2d(layer("conv1", "bn1", x, padding=1), 2), 2)
        x = F.max_pool2d(layer("conv2", "bn2", x, padding=1), 2, (2, 1), (0, 1))
        x = layer("conv3", "bn3", self.stage(f"{net}.layer3", x, 5), padding=1)
        x = layer("conv4_1", "bn4_1", self.stage(f"{net}.layer4", x, 3), stride=(2, 1), padding=(0, 1))
        return layer("conv4_2", "bn4_2", x)

    def stage(self, name: str, x: Tensor, blocks: int, kernel: int = 3, stride: tuple[int, int] = (1, 1)) -> Tensor:
        for block in range(blocks):
            at, step = f"{name}.{block}", stride if block == 0 else (1, 1)
            y = self.conv(f"{at}.conv1", x, stride=step, padding=kernel // 2)
            y = self.norm(f"{at}.bn2", self.conv(f"{at}.conv2", F.relu(self.norm(f"{at}.bn1", y)), padding=1))
            if f"{at}.downsample.0.weight" in self.t:
                x = self.norm(f"{at}.downsample.1", self.conv(f"{at}.downsample.0", x, stride=step))
            x = F.relu(x + y)
        return x

    def rare_rectified(self, image: Tensor) -> Tensor:
        x, name = image, "Transformation.LocalizationNetwork"
        for index in (0, 4, 8, 12):
            x = F.relu(self.norm(f"{name}.conv.{index + 1}", self.conv(f"{name}.conv.{index}", x, padding=1)))
            x = F.max_pool2d(x, 2) if index < 12 else x.mean((2, 3))
        points = self.linear(f"{name}.localization_fc2", F.relu(self.linear(f"{name}.localization_fc1.0", x)))
        grid = rare_grid(points.reshape(len(x), 20, 2).double().numpy(), *image.shape[2:])
        return F.grid_sample(image, torch.from_numpy(grid).float(), padding_mode="border", align_corners=True)

    def aster(self, image: Tensor, steps: int = 100) -> Tensor:
        """Logits of greedy decoding of pictures (N, 3, H, W) in -1..1."""
        x = self.aster_rectified(image) if "stn_head.stn_fc2.weight" in self.t else image
        x = F.relu(self.norm("encoder.layer0.1", self.conv("encoder.layer0.0", x, padding=1)))
        shapes = ((3, (2, 2)), (4, (2, 2)), (6, (2, 1)), (6, (2, 1)), (3, (2, 1)))
        for stage, (blocks, stride) in enumerate(shapes, 1):
            x = self.stage(f"encoder.layer{stage}", x, blocks, 1, stride)
        x = x.squeeze(2).transpose(1, 2)
        if "encoder.rnn.weight_ih_l0" in self.t:
            x = self.lstm("encoder.rnn", x, layers=2)
        unit, weights = (
            "decoder.decoder.attention_unit",
            {w: self.t[f"decoder.decoder.gru.{w}_l0"] for w in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
        )
        embedding = self.t["decoder.decoder.tgt_embedding.weight"]
        state = x.new_zeros(len(x), embedding.shape[1])
        letter, out = torch.full((len(x),), len(embedding) - 1), []
        for _ in range(steps):
            energy = torch.tanh(self.linear(f"{unit}.xEmbed", x) + self.linear(f"{unit}.sEmbed", state)[:, None])
            weight = torch.softmax(self.linear(f"{unit}.wEmbed", energy), 1)
            given = F.linear(
                torch.cat([embedding[letter], (weight * x).sum(1)], 1), weights["weight_ih"], weights["bias_ih"]
            )
            kept = F.linear(state, weights["weight_hh"], weights["bias_hh"])
            (r, z, n), (hr, hz, hn) = given.chunk(3, 1), kept.chunk(3, 1)
            update = torch.sigmoid(z + hz)
            state = (1 - update) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + update * state
            out.append(self.linear("decoder.decoder.fc", state))
            letter = out[-1].argmax(1)
        return torch.stack(out, 1)

    def aster_points(self, image: Tensor) -> Tensor:
        x = F.interpolate(image, (32, 64), mode="bilinear", align_corners=True)
        for index in range(0, 12, 2):
            name = f"stn_head.stn_convnet.{index}"
            x = F.relu(self.norm(f"{name}.1", self.conv(f"{name}.0", x, padding=1)))
            x = F.max_pool2d(x, 2) if index < 10 else x
        x = F.relu(self.norm("stn_head.stn_fc1.1", self.linear("stn_head.stn_fc1.0", x.flatten(1))))
        return self.linear("stn_head.stn_fc2", 0.1 * x).reshape(-1, 20, 2)

    def aster_rectified(self, image: Tensor) -> Tensor:
        grid = aster_grid(self.aster_points(image).double().numpy(), 32, 100)
        grid = 2 * np.clip(grid, 0, 1) - 1
        return F.grid_sample(image, torch.from_numpy(grid).float(), align_corners=False)


def lstm_cell(
    x: Tensor, hidden: Tensor, cell: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM, gates in torch's order."""
    i, f, g, o = (F.linear(x, w_ih, b_ih) + F.linear(hidden, w_hh, b_hh)).chunk(4, 1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def rare_canonical(count: int = 20) -> np.ndarray:
    x = np.linspace(-1, 1, count // 2)
    return np.concatenate([np.stack([x, np.full(len(x), y)], 1) for y in (-1.0, 1.0)])


def rare_terms(count: int, height: int, width: int) -> Tensor:
    """The matrix of radial terms that deep-text-recognition-benchmark saves with its weights."""
    x, y = ((2 * np.arange(n) + 1 - n) / n for n in (width, height))
    grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    r = np.sqrt(((grid[:, None] - rare_canonical(count)) ** 2).sum(-1))
    return torch.from_numpy(np.column_stack([np.ones(len(grid)), grid, r**2 * np.log(r + 1e-6)])).float()


def rare_grid(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Its grid (N, height, width, 2), the system solved anew for each picture in double precision."""
    canonical = rare_canonical(points.shape[1])
    r = np.sqrt(((canonical[:, None] - canonical) ** 2).sum(-1))
    radial = r**2 * np.log(np.where(r > 0, r, 1))
    affine = np.column_stack([np.ones(len(canonical)), canonical])
    system = np.block([[affine, radial], [np.zeros((3, 3)), affine.T]])
    x, y = ((2 * np.arange(n) + 1 - n) / n for n in (width, height))
    grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    r = np.sqrt(((grid[:, None] - canonical) ** 2).sum(-1))
    terms = np.column_stack([np.ones(len(grid)), grid, r**2 * np.log(r + 1e-6)])
    right = np.concatenate([points, np.zeros((len(points), 3, 2))], 1)
    return (terms @ np.linalg.solve(system[None], right)).reshape(len(points), height, width, 2)


def aster_canonical(margin: float = 0.05) -> Tensor:
    x = np.linspace(margin, 1 - margin, 10)
    return torch.from_numpy(np.concatenate([np.stack([x, np.full(10, y)], 1) for y in (margin, 1 - margin)])).float()


def aster_grid(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """The grid of aster.pytorch over [0, 1] (N, height, width, 2), the system solved anew in double precision."""
    canonical = aster_canonical().double().numpy()

    def radial(a: np.ndarray) -> np.ndarray:
        squared = ((a[:, None] - canonical) ** 2).sum(-1)
        return 0.5 * squared * np.log(np.where(squared > 0, squared, 1))

    affine = np.column_stack([np.ones(20), canonical])
    system = np.block([[radial(canonical), affine], [affine.T, np.zeros((3, 3))]])
    y, x = np.mgrid[:height, :width]
    grid = np.stack([x.ravel() / (width - 1), y.ravel() / (height - 1)], 1)
    terms = np.column_stack([radial(grid), np.ones(len(grid)), grid])
    right = np.concatenate([points, np.zeros((len(points), 3, 2))], 1)
    return (terms @ np.linalg.solve(system[None], right)).reshape(len(points), height, width, 2)
