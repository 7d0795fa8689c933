"""Writes docs/files.md, docs/settings.md and the table of docs/models.md: `make docs`."""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bot.settings import PREFIX, Settings
from generation.families import FAMILIES, Traits

ROOT = Path(__file__).parents[1]
PACKAGES = ("bot", "generation", "storage", "training", "benchmarks")

_FILES = """\
# Files

Written by `make docs` from the first lines of the code; do not edit. Tests are in `tests/`, one
file per promise, and their helpers in `tests/support/`.
"""

_SETTINGS = """\
# Settings

Written by `make docs` from `bot/settings.py`; do not edit.

oxherd reads its settings from the environment and from the file `.env` in the working directory;
the environment wins. An unknown `OXHERD_…` variable is an error that names the nearest known one.
An empty variable counts as not set.
"""


_MODELS = """\
# Models

Written by `make docs` from `generation/families.py`; do not edit.

What oxherd knows of each family of diffusers' text-to-image pipelines. `/imagine` offers only what
has an effect, defaults are the model's unless [the settings](settings.md) have others, and a row of
the dataset records only what had an effect. `oxherd doctor` names the family of each model that the
settings offer.

- **Tested**: each row but those marked * with the real pipeline and tiny random weights, on a CPU
  in float32. It is made, cancelled between two steps, repeated to the byte, and made again from
  its row in the dataset; guidance and a negative prompt have an effect, or are refused. Those
  marked * are the same code with other defaults. What was measured with real weights is in
  [performance](performance.md).
- **Memory**: not measured. `oxherd doctor` says how much the weights of a model take; to make
  four images at once, 4 GiB beside them are assumed.
- **Guidance**: a model "without" has none, whatever its pipeline takes. "Told" means that the
  scale is an input of the model, so there is no negative prompt. All others are guided by a
  second pass, which is off up to the scale in the column "off up to", and the negative prompt
  with it.
- **Sizes**: of `OXHERD_SIZES`, a model offers those whose sides are multiples. "Made for" is the
  size at which it is at its best.
- **Stopping**: all are cancelled between two steps. **Four images** are made in one batch, or in
  as many as fit into memory.
- **Number format**: on CUDA, with `OXHERD_DTYPE=auto`. Elsewhere it is float32.
- **Turbo** and the variants of HiDream are told apart by their names alone, because no file does
  it: a folder with Stable Diffusion Turbo must have "turbo" in its name.
- Only Stable Diffusion 1.x, 2.x and XL vary images and show previews. The others are served by
  their own pipeline.
- **Compiling** ([performance](performance.md#warm-start)): of Stable Diffusion 1.x, 2.x and XL the
  UNet and the decoder; of FLUX.1, FLUX.2, Stable Diffusion 3.x, SANA, SANA-Sprint, PixArt-Σ and
  the latent consistency model the repeated blocks. Qwen-Image, Z-Image and Lumina 2 are not
  compiled, because shapes in them depend on the prompt's length. Tested on a CPU: FLUX.1 with tiny
  random weights was compiled; of the others, what would be compiled. On a GPU it was not tried.

A pipeline that is not in the table is served by its signature: its own default steps and guidance,
and a negative prompt if it takes one. What had no effect is recorded all the same, because oxherd
cannot know. One that does not take seeds, does not report its steps, or needs more than a prompt is
refused when it is loaded.
"""

_FASTER = """\
## Faster, by a setting

These change the images, so they are on only where a setting says so, and the dataset's column
`versions` has them. `oxherd replay` makes an image again with what its row has. `oxherd doctor`
says of each model whether it can be had.

Tested on a CPU with tiny random weights, where they save no time. On a GPU, and with published
weights, they were not tried: how much they save there is not measured.

### Attention

`OXHERD_ATTENTION` chooses the kernels that compute attention, by diffusers' name. `native`, the
default, lets torch choose. `_native_cudnn`, `_native_efficient`, `_native_flash` and `_native_math`
are torch's own; `flash` (flash-attn), `_flash_3`, `sage` (sageattention, which computes in 8 bits)
and `xformers` are packages that you install. Those that diffusers would download are not offered:
they are code from the hub. Kernels that cannot be used on the device are refused when the model is
loaded, with a sentence; so are kernels without masks, for a model that needs masks, because a small
image is made with them first.

Images change by rounding, with `sage` by more. `versions` has it as `attention`. In place of
diffusers' own variable `DIFFUSERS_ATTN_BACKEND`, which has no effect, use this one.

It has an effect on {chooses_attention}. In the others, torch chooses as ever.

### Skipping steps

`OXHERD_STEP_CACHE=FLUX.1-dev:0.1,Qwen-Image:0.05` is for single models, by the names that members
choose. While what a model's first block adds changes by less than this share from one step to the
next, the rest of the model is not computed: it is taken to add what it added before (diffusers'
FirstBlockCache). **This changes pictures**, the more the higher the number, so nothing but this
setting turns it on. `versions` has the number as `step_cache`. Leave it out where you compare
models or collect labels of how good a model is, unless this is how it will be used.

It can be had with {caches_steps}. A different model that it names is refused when it is loaded.

### Weights in 8 bits

`OXHERD_QUANTIZE=FLUX.1-dev:int8,Qwen-Image:float8` is for single models too. The weights of all
linear layers of the transformer or UNet are rounded to 8 bits when the model is loaded (torchao,
weights only), to a half of what bfloat16 takes; what they are multiplied with keeps its number
format. **This changes pictures.** `versions` has `quantized`, and the version of
`torchao`. It needs the extra `quantized`:

```sh
pip install --no-deps --require-hashes -r locks/gpu.txt -r locks/quantized.txt
```

The weights are rounded on the CPU, after a LoRA was added, so main memory has the whole model once.
A model with such weights is not compiled. Tested with Stable Diffusion and FLUX.1. If the extra is
installed, diffusers imports torchao at every start, whether a model uses it or not.
"""

NOT_TRIED = (
    "Stable Diffusion XL, told its guidance",
    "Stable Diffusion XL Turbo",
    "Stable Diffusion 3.x Turbo",
    "HiDream-I1 Dev",
    "HiDream-I1 Fast",
)
"""Variants that differ from others of their family in defaults alone."""


_MODEL_COLUMNS = (
    "family",
    "pipeline",
    "steps",
    "guidance",
    "off up to",
    "negative prompt",
    "sides are multiples of",
    "made for",
    "number format",
)


def models_page() -> str:
    """docs/models.md: each family and variant with what it takes."""
    lines = [
        f"| {' | '.join(_MODEL_COLUMNS)} |",
        f"|{' --- |' * len(_MODEL_COLUMNS)}",
    ]
    notes = []
    for family in FAMILIES:
        lines.append(_model_line(family.pipeline, family.takes))
        lines += [_model_line("the same", variant.takes) for variant in family.variants]
        if note := family.takes.note:
            notes.append(f"{family.takes.family}: {note}.\n")

    return "\n".join([_MODELS, *lines, "", *notes, _faster()])


def _faster() -> str:
    return _FASTER.format(
        chooses_attention=_pipelines(lambda takes: takes.chooses_attention),
        caches_steps=_pipelines(lambda takes: takes.caches_steps),
    )


def _pipelines(condition: Callable[[Traits], bool]) -> str:
    """The pipelines of which this is true, in a row."""
    *first, last = (f"`{family.pipeline}`" for family in FAMILIES if condition(family.takes))

    return f"{', '.join(first)} and {last}"


def files_page() -> str:
    """docs/files.md: each folder with its docstring, each module with its first line.

    Raises ValueError naming a module that has no docstring.
    """
    sections = [section for package in PACKAGES for section in _folders(ROOT / package)]

    return "\n".join([_FILES, *sections])


def settings_page() -> str:
    """docs/settings.md: each variable with its default and its description."""
    lines = ["| variable | default | what it is |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        lines.append(
            f"| `{PREFIX}{name.upper()}` | {_shown(field.default)} | {field.description} |"
        )

    return "\n".join([_SETTINGS, *lines, ""])


def main() -> None:
    """Write the pages."""
    try:
        pages = {
            "files.md": files_page(),
            "settings.md": settings_page(),
            "models.md": models_page(),
        }
    except ValueError as exc:
        sys.exit(str(exc))

    for name, text in pages.items():
        (ROOT / "docs" / name).write_text(text, encoding="utf-8")


def _model_line(pipeline: str, takes: Traits) -> str:
    guidance, off = takes.guidance, ""
    if guidance is None:
        scale = "without"
    elif guidance.off_up_to is None:
        scale = f"{guidance.default:g}, told"
    else:
        scale, off = f"{guidance.default:g}", f"{guidance.off_up_to:g}"

    cells = (
        f"{takes.family}{' *' if takes.family in NOT_TRIED else ''}",
        f"`{pipeline}`" if pipeline != "the same" else pipeline,
        str(takes.steps),
        scale,
        off,
        "yes" if takes.negative_prompt else "no",
        f"{takes.multiple} px",
        f"{takes.side_px} × {takes.side_px}",
        takes.dtype,
    )

    return f"| {' | '.join(cells)} |"


def _folders(folder: Path) -> Iterator[str]:
    """The section of a folder, then those of the folders in it."""
    modules = sorted(folder.glob("*.py"))
    if not modules:
        return

    lines = [f"## {folder.relative_to(ROOT)}", ""]
    if (package := folder / "__init__.py") in modules:
        modules.remove(package)
        lines += [_docstring(package), ""]

    if modules:
        lines += ["| file | what it is |", "| --- | --- |"]
        lines += [f"| `{module.name}` | {_first_line(module)} |" for module in modules]
        lines.append("")

    yield "\n".join(lines)

    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield from _folders(inner)


def _first_line(module: Path) -> str:
    return _docstring(module).partition("\n")[0].replace("|", "\\|")


def _docstring(module: Path) -> str:
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    if not text:
        raise ValueError(
            f"{module.relative_to(ROOT)} has no docstring: its first line says what it is."
        )

    return text


def _shown(default: object) -> str:
    """A default as an operator would write it; nothing where there is none."""
    if default in (None, ()):
        return ""

    if isinstance(default, tuple):
        return f"`{','.join(map(str, default))}`"

    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    main()
