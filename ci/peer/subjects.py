"""Makes what `cargo xtask bench --peer ort-web` measures: `subjects.py FOLDER`.

One folder a subject: model.onnx for the peer, our own weights, and the inputs and outputs that both are held to.
"""

import sys
from pathlib import Path

import models
import ops


def main():
    """Makes every subject anew."""
    if len(sys.argv) != 2:
        sys.exit("usage: subjects.py FOLDER")
    folder = Path(sys.argv[1])
    for name in ops.OPS:
        ops.make(name, folder / name)
    models.make_minilm(folder / "model_minilm")
    models.make_cold(folder / "cold_start")


if __name__ == "__main__":
    main()
