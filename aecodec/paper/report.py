"""The report of a run as Markdown, made of results.json and remarks.md; what has not been measured yet is a dash."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from textwrap import fill

from aecodec.paper.references import TITLES
from aecodec.paper.table import SYSTEMS
from aecodec.paper.table import VALIDATION
from aecodec.paper.table import Results
from aecodec.paper.table import Setup
from aecodec.paper.table import markdown_table

REMARKS = "remarks.md"
CURVES = "curves.png"
FIGURE1 = "figure1.jpg"
NOTHING = "-"
HEADINGS = ("system", "paper", "here", "epochs", "seconds", "parameters")

CHOICES = """\
| | `conv4`, `conv4-l2` | `conv6` | `paper` |
|---|---|---|---|
| layers (the paper's) | 4 convolutions, 4 deconvolutions | 6 and 6 | Tables 1 and 2: 10 and 11, with skips |
| loss (the paper's) | L1; L2 for `conv4-l2` | L1 | L1 |
| strides | 1 2 2 2, mirrored | 1 2 1 2 1 2, mirrored | the tables': a reduction is a stride of 2 |
| expansion | deconvolution of stride 2 | deconvolution of stride 2 | nearest neighbour, then the table's convolution |
| skip | none | none | where channel counts differ, over the channels that both ends have |
| after the last layer of the encoder | nothing | nothing | nothing: it ends a block of two |

The same for all four: Adam at a learning rate of 1e-3 (the paper's); kernels of 3x3 and 16 channels between all
layers (the tables'); a latent of 32x32x16 floats for 256x256; leaky ReLU of slope 3/4 after every layer but the
last of the encoder, the last of a block of two and the last of all; no normalisation, but pixels 0..1 are shifted and
scaled to about unit variance within the network; delta-orthogonal initialisation, biases zero, and where a block has
two layers the second starts at zero, so that the block starts as its skip. The learning rate is constant for half of
the training, then falls along a cosine to 2 %."""

INTRODUCTION = """\
# Table 3 of the paper, reproduced

"Project 1: Auto-encoders" (Singh, Chaudhry, Garg) compares four auto-encoders by their loss on a dev set: L1 per
sample, on a scale of 0 to 1. Here they are trained again, on equal terms, as continuous auto-encoders without
quantiser or file; the codec made from the last one is `--model paper`. The command that trains them writes this page:

```
aecodec paper table3 --out DIR {options}
```"""

MEASURE = """\
"Here" is the mean L1 over whole dev pictures, also for the system trained with L2; reconstructions are clipped and
rounded to 8 bits. "Seconds" is training time, without measuring. The last two rows are references: a linear transform
with the same latent, fitted on the training pictures, and JPEG, each picture at the largest quality that keeps it
within 1 % of raw{beyond}."""

PICTURES = """\
- *Pictures*: the paper trains on 35,000 of ImageNet, Places2, LVIS and LFW and measures on 2,500 more; here {pictures}.
`aecodec paper dataset` builds the paper's set from its sources."""

LENGTH = """\
- *Length*: the paper trains 200 epochs on whole pictures of 256x256; here {length}, on random crops of {crop}x{crop},
flipped, turned, and some of them reduced."""

DIFFERENCES = """\
- *Learning rate*: the paper states 1e-3 and no decay; here it falls, for all four alike.
- *Layers*: its text counts 11 layers in the encoder, its Table 1 lists 10. Here there are 10.
- *Start*: its Figure 1 has colour from about epoch 8 on. It does not state its initial weights.
- *Its 0.0477*: it does not say whether that was measured before the final training on all 37,500 pictures, dev set
  included. Here no picture that equals a dev picture in every pixel is trained on."""

WEIGHTS = """\
`NAME.safetensors` holds the float32 weights of each system, under 300 kB; `aecodec.paper.systems.load_system` reads
them. They belong to this page, not to the codec. All figures are in `results.json`."""


def table(results: Results) -> str:
    """Table 3 and the reference rows, in Markdown with aligned columns."""
    rows: list[Sequence[str]] = [HEADINGS]
    for system in SYSTEMS:
        outcome = results.table3.get(system.name)
        cells = (NOTHING,) * 4
        if outcome is not None and outcome.curve:
            epochs = f"{outcome.epochs:g}" + ("" if outcome.finished else " (unfinished)")
            cells = f"{outcome.l1:.4f}", epochs, f"{outcome.seconds:,.0f}", f"{outcome.parameters:,}"
        rows.append((f"{system.title} (`{system.name}`)", f"{system.paper_l1:.4f}", *cells))
    for name, title in TITLES.items():
        level = f"{results.references[name].l1:.4f}" if name in results.references else NOTHING
        rows.append((title, NOTHING, level, *(NOTHING,) * 3))
    return markdown_table(rows)


def order(results: Results) -> str:
    """The ranking of the systems here and in the paper, best first; empty before all have been measured."""
    found = {name: outcome.l1 for name, outcome in results.table3.items() if outcome.curve}
    if len(found) < len(SYSTEMS):
        return ""
    here = ", ".join(f"`{name}`" for name in sorted(found, key=lambda name: found[name]))
    paper = ", ".join(f"`{system.name}`" for system in sorted(SYSTEMS, key=lambda system: system.paper_l1))
    return f"Best first: {here}. " + ("The paper's order is the same." if here == paper else f"In the paper: {paper}.")


def report(results: Results, remarks: str = "", *, figure: bool = True) -> str:
    """The whole page, with remarks on its figures; ends in a newline. `figure`: whether it shows Figure 1."""
    setup = results.setup
    parts = [INTRODUCTION.format(options=_options(setup)), table(results), MEASURE.format(beyond=_beyond(results))]
    parts += filter(None, [_filled(order(results)), _filled(_setup(setup, results.machine)), remarks.strip()])
    if any(outcome.curve for outcome in results.table3.values()):
        parts += ["## Training curves", f"![dev L1 of the four by epoch]({CURVES})"]
    if figure and "paper" in results.table3 and results.table3["paper"].curve:
        picture = f"![inputs and reconstructions after more and more epochs]({FIGURE1})"
        parts += ["## Figure 1", picture, _credits(results)]
    parts += ["## What the paper states, and what is chosen here", CHOICES]
    parts += ["## What differs from the paper, and why", _differences(setup)]
    parts += ["## The weights", WEIGHTS]
    return "\n\n".join(parts) + "\n"


def _options(setup: Setup) -> str:
    """The options of the run, without its paths."""
    given = setup.epochs if setup.minutes is None else len(SYSTEMS) * setup.minutes
    length = f"{'--epochs' if setup.minutes is None else '--budget'} {str(given).removesuffix('.0')}"
    training = f"{length} --crop {setup.crop} --batch-size {setup.batch_size} --seed {setup.seed}"
    if setup.dev == VALIDATION:
        return f"--data DATA {training}"
    shown = " ".join(f"--shown {shlex.quote(name)}" for name in setup.shown)
    return " \\\n    ".join(["--data DATA --dev DEV", training, shown])


def _beyond(results: Results) -> str:
    """A remark on dev pictures that JPEG cannot bring within 1 % of raw, if any."""
    beyond = sum(reference.beyond for reference in results.references.values())
    return f" ({beyond} exceed that even at the lowest quality, and are measured there)" if beyond else ""


def _filled(paragraph: str, indent: str = "") -> str:
    return fill(paragraph, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _setup(setup: Setup, machine: str) -> str:
    return (
        f"{setup.training_pictures:,} training pictures; dev set: {_dev(setup)}; {_length(setup)} for each system "
        f"(equal {'epochs' if setup.epochs is not None else 'minutes'}), {setup.batch_size} crops of "
        f"{setup.crop}x{setup.crop} a step, seed {setup.seed}; {machine}."
    )


def _dev(setup: Setup) -> str:
    return f"{setup.dev_pictures:,} pictures ({setup.dev})"


def _length(setup: Setup) -> str:
    return f"{setup.epochs:g} epochs" if setup.epochs is not None else f"{setup.minutes:g} minutes of training"


def _credits(results: Results) -> str:
    unknown = "{} (licence unknown: not for publication)"
    named = [results.authors.get(name, unknown.format(name)) for name in results.setup.shown]
    return _filled(
        "Input, and what `paper` makes of it; never trained on. From top to bottom: " + "; ".join(named) + "."
    )


def _differences(setup: Setup) -> str:
    pictures = f"on {setup.training_pictures:,}, with {_dev(setup)} as a stand-in for its dev set"
    computed = [PICTURES.format(pictures=pictures), LENGTH.format(length=_length(setup), crop=setup.crop)]
    return "\n".join([*(_filled(item, "  ") for item in computed), DIFFERENCES])
