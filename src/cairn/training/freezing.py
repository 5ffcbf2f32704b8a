"""Parts of a model that learn nothing for a stage, named by the beginning of their names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from cairn.errors import CairnError, nearest


def freeze(model: nn.Module, head: nn.Module, prefixes: Sequence[str]) -> None:
    """Let every parameter learn but those whose name begins with a prefix.

    A prefix ends where a name's part ends: ``backbone.layer1`` is not ``backbone.layer10``.

    Args:
        model: The embedder; its parts are ``backbone``, ``pool`` and ``neck``.
        head: Its head; its parameters begin with ``head``.
        prefixes: Of the recipe's ``train.freeze``.

    Raises:
        CairnError: A prefix is the beginning of no name, or nothing is left to learn.
    """
    modules = {**dict(model.named_modules()), "head": head}
    named = [*model.named_parameters(), *((f"head.{n}", p) for n, p in head.named_parameters())]
    known = [name for name in (*modules, *(name for name, _ in named)) if name]
    for prefix in prefixes:
        if prefix not in known:
            raise CairnError(
                f"no part {prefix!r} to freeze",
                where="train.freeze",
                todo=nearest(prefix, known),
            )
    for name, parameter in named:
        parameter.requires_grad_(not any(_covers(prefix, name) for prefix in prefixes))
    if not any(parameter.requires_grad for _, parameter in named):
        raise CairnError("nothing is left to learn", where="train.freeze")


def set_train_mode(model: nn.Module, prefixes: Sequence[str], *, freeze_batchnorm: bool) -> None:
    """Put ``model`` in training mode, its frozen parts in evaluation mode.

    Frozen parts keep their batch-norm statistics and drop nothing out.

    Args:
        model: The embedder.
        prefixes: Of its frozen parts.
        freeze_batchnorm: Keep the statistics of the whole backbone.
    """
    model.train()
    for name, module in model.named_modules():
        kept = freeze_batchnorm and isinstance(module, _BatchNorm) and _covers("backbone", name)
        if kept or any(_covers(prefix, name) for prefix in prefixes):
            module.eval()


def batchnorms(model: nn.Module) -> list[nn.Module]:
    """Return the batch norms of ``model`` that are in training mode."""
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]


def _covers(prefix: str, name: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")
