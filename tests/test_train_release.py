"""What an export writes beside the integers: the float weights to train on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.paths import PHOTOS

torch = pytest.importorskip("torch")

from safetensors.torch import load_file

from aecodec.train import release
from aecodec.train.checkpoint import write_checkpoint
from helpers.models import small


@pytest.mark.parametrize("calibrated", [False, True])
def test_float_weights_are_those_from_before_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calibrated: bool
) -> None:
    """Whether training rounded them, and kept them, or the export does."""
    monkeypatch.setattr(release, "build", small)
    monkeypatch.setattr(release, "central_crops", lambda pictures, count: [pixels[:64, :64] for pixels in pictures[:2]])
    torch.manual_seed(0)
    model, before = small("standard"), dict(small("standard").named_parameters())
    expected = before if calibrated else dict(model.named_parameters())
    content = {
        "config": "standard",
        "model": model.state_dict(),
        "unrounded": {name: weight.detach() for name, weight in before.items()} if calibrated else {},
        "optimizer": {},
        "counters": {"calibrated": calibrated, "pixels": 7},
        "random": {},
    }
    write_checkpoint(tmp_path / "end.pt", content)
    said: list[str] = []
    release.release(tmp_path / "end.pt", [PHOTOS], tmp_path / "out", None, None, said.append)
    assert said[0].startswith("never trained with rounding") != calibrated
    floats = load_file(tmp_path / "out" / "standard.float16.safetensors")
    for name, weight in expected.items():
        assert torch.equal(floats[name], weight.detach().half()), name
