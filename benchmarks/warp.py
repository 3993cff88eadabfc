"""Sampling grids of 64 crops of 32 x 100 from 20 control points each: this project's, kornia's and torch-tps's.

The others solve the spline's system for every batch; here it is one product with a basis that is kept.
"""

from __future__ import annotations

import common
import torch

from rectify.conventions import canonical_points, pixel_grid
from rectify.sampler import tps_grid

ROWS, COLS, HEIGHT, WIDTH, CROPS = 2, 10, 32, 100, 64


def main() -> None:
    parser = common.parser(__doc__, "python benchmarks/warp.py --rounds 20 --json warp.json --plot warp.png")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    canonical = torch.tensor(canonical_points(ROWS, COLS)).float().expand(CROPS, -1, -1).contiguous()
    points = canonical + 0.05 * torch.randn(canonical.shape, generator=torch.Generator().manual_seed(0))
    pixels = torch.from_numpy(pixel_grid(HEIGHT, WIDTH)).float().expand(CROPS, -1, -1).contiguous()
    tasks = {"rectify-ocr": lambda: tps_grid(points, ROWS, COLS, HEIGHT, WIDTH)}
    try:
        from kornia.geometry.transform import get_tps_transform, warp_points_tps

        def kornia(places: torch.Tensor) -> torch.Tensor:
            return warp_points_tps(places, points, *get_tps_transform(canonical, points))

        tasks["kornia"] = lambda: kornia(pixels)
        print(f"kornia's distance from the control points: {(kornia(canonical) - points).abs().max().item():.1e}")
    except ModuleNotFoundError:
        print("kornia is not installed")
    try:
        from torch_tps import ThinPlateSpline

        def torch_tps() -> torch.Tensor:
            spline, grids = ThinPlateSpline(alpha=0.0), []
            for source, target in zip(canonical, points, strict=True):  # it takes one at a time
                spline.fit(source, target)
                grids.append(spline.transform(pixels[0]))
            return torch.stack(grids)

        tasks["torch-tps"] = torch_tps
        ours = tasks["rectify-ocr"]().reshape(CROPS, -1, 2)
        print(f"largest difference from torch-tps: {(ours - torch_tps()).abs().max().item():.1e} in normalised units")
    except ModuleNotFoundError:
        print("torch-tps is not installed")
    seconds = common.interleaved(tasks, arguments.rounds)
    common.report(arguments, "warp", "ms CPU", {name: [1e3 * s for s in values] for name, values in seconds.items()})


if __name__ == "__main__":
    main()
