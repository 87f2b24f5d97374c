"""Trains `standard` on one GPU for some minutes: small batches as fast as large ones, each step a replay of one graph.

    python benchmarks/train_on_gpu.py DATA --init weights/standard.float16.safetensors --out RUN --minutes 7

With networks this small a GPU waits for Python. This script compiles and captures the step (forward, backward,
clipping, Adam) once without rounding and once with it, and keeps the pictures on the card as uint8. On an H100 a batch
of 64 crops of 128 takes 5.1 ms, 11.2 ms with rounding (8.3 and 23.1 captured but not compiled). Compiling takes
minutes, which `--minutes` does not count. Start from weights trained on some gigapixels: the loss includes the rate
from the first step.

Three parts, by the share of the time: the constant rate up to HELD; from the moving mean of that a cosine that starts
at BRANCH of the rate; from ROUNDING on, again from the mean, with integer rounding in the loop. RUN/decayed.pt, for
`aecodec model export`, holds the mean of the last part; a line of JSON a validation goes to RUN/log.jsonl.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from aecodec.train import layers
from aecodec.train.checkpoint import Counters
from aecodec.train.checkpoint import State
from aecodec.train.data import Batches
from aecodec.train.data import Dataset
from aecodec.train.data import hold
from aecodec.train.data import load_folders
from aecodec.train.evaluate import central_crops
from aecodec.train.evaluate import measure
from aecodec.train.loop import MAX_GRADIENT_NORM
from aecodec.train.loop import load_init
from aecodec.train.model import AutoEncoder
from aecodec.train.model import build
from aecodec.train.schedule import WARM_UP_STEPS
from aecodec.train.schedule import falling

CROP, BATCH = 128, 64
DRAWN = 4  # batches at once: Python draws them while the card is busy
HELD, ROUNDING, BRANCH = 0.45, 0.78, 0.4
MEAN_STEPS = {"held": 8000, "falling": 3000, "rounding": 2000}
SYNCHRONISE_EVERY = 48  # steps: how far Python may be ahead of the card
VALIDATION_PICTURES, VALIDATION_SECONDS = 64, 75.0


class ShiftedDepthwise(layers.DepthwiseLayer):
    """Nine shifted products, which the compiler fuses with the operations around them into one kernel."""

    def forward(self, x: Tensor, side: Tensor | None) -> Tensor:
        weight, bias = self.used()
        rows, columns = x.shape[2:]
        padded = functional.pad(x, (1, 1, 1, 1))
        total = bias[None, :, None, None].expand(x.shape[0], -1, rows, columns)
        for tap in range(9):
            row, column = divmod(tap, 3)
            seen = padded[:, :, row : row + rows, column : column + columns].float()
            total = total + seen * weight[None, :, 0, row, column, None, None]
        return self.finish(total.to(x.dtype).contiguous(memory_format=torch.channels_last), False)


class Step:
    """One training step on inputs at fixed addresses, replayed as a graph on a GPU."""

    def __init__(self, model: AutoEncoder, device: torch.device) -> None:
        self.model, self.device = model, device
        self.weights = list(model.parameters())
        self.rate = torch.tensor(0.0, device=device)
        self.optimizer = torch.optim.Adam(self.weights, self.rate, fused=True, capturable=device.type == "cuda")
        self.optimizer.found_inf = torch.zeros((), device=device)  # type: ignore[attr-defined]  # 1: skip the update
        self.optimizer.grad_scale = None  # type: ignore[attr-defined]
        shape = BATCH, 3, CROP, CROP
        self.x = torch.rand(shape, device=device).contiguous(memory_format=torch.channels_last)
        self.quality = torch.rand(BATCH, device=device)
        self.skipped = torch.zeros((), device=device)

    def body(self) -> None:
        for weight in self.weights:
            weight.grad = None
        loss = self.objective(self.x, self.quality)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.weights, MAX_GRADIENT_NORM)
        wrong = (~(torch.isfinite(norm) & torch.isfinite(loss))).float()
        self.optimizer.found_inf.copy_(wrong)  # type: ignore[attr-defined]
        self.optimizer.step()
        self.skipped += wrong

    def prepare(self, rounding: bool) -> None:
        """Compiles and captures the step, with bfloat16 products or with rounding; keeps weights and moments."""
        self.model.mode.rounding = rounding
        self.model.mode.bfloat16 = not rounding
        self.run = self.body
        self.objective = self.loss
        if self.device.type != "cuda":
            return
        torch.compiler.reset()
        self.objective = torch.compile(self.loss, fullgraph=True, dynamic=False)
        self.rate.fill_(0.0)
        held = [tensor.clone() for tensor in self.moments()]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.body()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.body()
        for tensor, before in zip(self.moments(), held or map(torch.zeros_like, self.moments()), strict=True):
            tensor.copy_(before)
        self.skipped.zero_()
        self.run = graph.replay

    def loss(self, x: Tensor, quality: Tensor) -> Tensor:
        return self.model.loss(x, quality, self.model(x, quality, noise=True), 1.0)

    def moments(self) -> list[Tensor]:
        """The state of Adam, empty before its first step."""
        return [tensor for state in self.optimizer.state.values() for tensor in state.values()]


class Campaign:
    """A run and its validation."""

    def __init__(self, state: State, step: Step, dataset: Dataset, out: Path) -> None:
        self.state, self.step, self.out = state, step, out
        parts = {"validation": dataset.validation, "training": dataset.training}
        self.crops = {name: central_crops(pictures, VALIDATION_PICTURES) for name, pictures in parts.items()}
        self.begin("held")

    def begin(self, part: str) -> None:
        """Begin a part and its moving mean."""
        self.part, self.state.mean_steps = part, MEAN_STEPS[part]
        self.state.counters.begin_branch()
        self.state.start_mean()

    def validate(self, seconds: float) -> None:
        """Measures the mean, in full precision."""
        model, bfloat16 = self.state.model, self.state.model.mode.bfloat16
        own = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        self.state.take_mean()
        model.mode.bfloat16 = False
        line: dict[str, object] = {"part": self.part, "seconds": round(seconds), "pixels": self.state.counters.pixels}
        for name, crops in self.crops.items():
            found = measure(model, crops, self.state.device)
            assert found is not None, "nothing interrupts it"
            line[name] = {"loss": found.loss, "points": [asdict(point) for point in found.points]}
        model.mode.bfloat16 = bfloat16
        model.load_state_dict(own, strict=False)
        print(json.dumps(line), flush=True)
        with (self.out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")


def learn(campaign: Campaign, seconds: float) -> None:
    """Train until the time is up, not counting the time to prepare steps."""
    step, state = campaign.step, campaign.state
    counters = state.counters
    step.prepare(rounding=False)
    started = time.monotonic()
    next_validation = VALIDATION_SECONDS
    while True:
        views, qualities = state.batches.draw()
        for x, quality in zip(views.split(BATCH), qualities.split(BATCH), strict=True):
            spent = time.monotonic() - started
            share = spent / seconds
            if share >= 1:
                return
            warm_up = min(1.0, (counters.step + 1) / WARM_UP_STEPS)
            start = 1.0 if campaign.part == "held" else BRANCH
            rate = counters.learning_rate * warm_up * start
            step.x.copy_(x)
            step.quality.copy_(quality)
            step.rate.fill_(rate * falling(max(0.0, share - HELD) / (1 - HELD)))
            step.run()
            counters.step += 1
            counters.pixels += BATCH * CROP * CROP
            state.update_mean()
        if counters.step % SYNCHRONISE_EVERY == 0 and step.device.type == "cuda":
            torch.cuda.synchronize()
        if spent > next_validation:
            campaign.validate(spent)
            next_validation = time.monotonic() - started + VALIDATION_SECONDS
        if campaign.part == "held" and share >= HELD:
            state.take_mean()
            campaign.begin("falling")
        if campaign.part == "falling" and share >= ROUNDING:
            campaign.validate(spent)
            paused = time.monotonic()
            state.begin_rounding(views, qualities)
            step.prepare(rounding=True)
            started += time.monotonic() - paused
            campaign.begin("rounding")
            counters.calibrated = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--init", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--seed", type=int, default=31)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")  # TF32 holds the integers of the rounding
    layers.DepthwiseLayer = ShiftedDepthwise
    device = torch.device(options.device)
    dataset = load_folders(options.data, CROP)
    pictures = hold(dataset.training, device)
    batches = Batches(pictures, crop=CROP, batch_size=DRAWN * BATCH, device=device, seed=options.seed)
    model = build("standard")
    counters = Counters(options.learning_rate, pixels=load_init(model, options.init), pretrained=True)
    step = Step(model.to(device=device, memory_format=torch.channels_last), device)
    state = State(model, step.optimizer, batches, counters, device)
    campaign = Campaign(state, step, dataset, options.out)
    learn(campaign, 60 * options.minutes)
    campaign.validate(60 * options.minutes)
    state.take_mean()
    state.save(options.out / "decayed.pt")


if __name__ == "__main__":
    main()
