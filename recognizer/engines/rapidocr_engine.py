"""RapidOCR's text recognition, with the network that is inside its wheel."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from recognizer.engines import Answer, Engine, require
from rectify.images import Image


def load(threads: int = 1) -> Engine:
    """See ``engines.load_engine``."""
    return RapidOcrEngine(threads)


class RapidOcrEngine:
    """Reads each crop by itself: RapidOCR pads the crops of a batch to the widest of them, and what a crop reads would
    depend on its neighbours.

    Each network runs in one thread, several crops side by side: ONNX Runtime's own threads spin while they wait, which
    RapidOCR cannot switch off and which costs half the speed of a busy machine.
    """

    def __init__(self, threads: int = 1) -> None:
        package = require("rapidocr", "rapidocr")
        self._threads = threads
        self._ocr = package.RapidOCR(
            params={
                "Global.use_det": False,
                "Global.use_cls": False,
                "Global.use_preprocess_img": False,  # it would squeeze crops to sides that suit the detector
                "Global.log_level": "error",
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "Rec.model_path": str(_shipped_network(Path(str(package.__file__)).parent)),
            }
        )

    def __call__(self, crops: Sequence[Image], /) -> list[Answer]:
        """See ``Engine``."""
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(self._read, crops))

    def _read(self, crop: Image) -> Answer:
        found = self._ocr(np.ascontiguousarray(crop[:, :, ::-1]))  # it takes BGR
        return (str(found.txts[0]), float(found.scores[0])) if found.txts else ("", 0.0)


def _shipped_network(folder: Path) -> Path:
    """The recognition network in the installed package. Named to RapidOCR, it is never downloaded.

    Raises:
        FileNotFoundError: the package holds none.
    """
    found = sorted(folder.glob("models/*rec*.onnx"))
    if not found:
        raise FileNotFoundError(
            f'{folder}: holds no recognition network: pip install --force-reinstall "rectify-ocr[rapidocr]"'
        )
    return found[0]
