"""Where a backbone starts from: timm's hub, a safetensors file, or an earlier model folder.

The module finds and reads weights and fits them to a network that stands already; it does not know
how that network is made.
"""

from __future__ import annotations

import ssl
import sys
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cairn.config import ModelConfig, parse_value
from cairn.errors import CairnError
from cairn.layers import GlobalContext
from cairn.runs import read_json

MODEL_FORMAT = 1
"""Version of a model folder's config.json."""

_REACH_S = 5.0
"""Seconds that the hub has to answer; its client would try again for most of a minute."""


def read_config(folder: Path) -> ModelConfig:
    """Return the config of a model folder without loading its weights.

    Raises:
        CairnError: It is no model folder, or one of another format.
    """
    if (folder / "model" / "config.json").is_file():
        raise CairnError(
            "this is no model folder, but holds one", where=folder, todo=f"give {folder / 'model'}"
        )
    if not (folder / "config.json").is_file():
        raise CairnError(
            "not a model folder: it has no config.json",
            where=folder,
            todo="give the model/ folder of a run that `cairn train` made",
        )
    values = read_json(folder / "config.json")
    if isinstance(values, dict) and "joint" in values:
        raise CairnError(
            "this is a joint model of several: it has no network of its own",
            where=folder,
            todo=f"name one of its members, in {folder / 'members'}",
        )
    known = isinstance(values, dict) and isinstance(values.get("model"), dict)
    if not known or values.get("format") != MODEL_FORMAT:
        raise CairnError(
            f"config.json has not format {MODEL_FORMAT}",
            where=folder,
            todo="train with this version",
        )
    return parse_value(ModelConfig, values["model"], where=folder / "config.json")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        CairnError: There is no such file, or it is of another kind.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise CairnError(
            "cannot read the weights: no such file",
            where=path,
            todo="give 'imagenet', a .safetensors file, or the folder of a Cairn model",
        )
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise CairnError(
            f"cannot read the weights: not a whole safetensors file ({error})",
            where=path,
            todo="copy it again, or convert a .pth or .bin file: "
            "safetensors.torch.save_file(torch.load(file, weights_only=True), 'x.safetensors')",
        ) from None


def fit_backbone(backbone: nn.Module, weights: Mapping[str, Tensor], *, where: object) -> None:
    """Load ``weights``, in timm's names, into ``backbone``.

    The classifier may be absent or of any size. Global Context blocks may be absent: they start as
    identities. Position embeddings and windows of another image size are resampled, by timm.

    Raises:
        CairnError: Names are missing or foreign, or shapes differ.
    """
    adapt: Callable[..., dict[str, Tensor]] | None = getattr(
        sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None
    )
    if adapt is not None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch on the strides of timm's resampling
                weights = adapt(dict(weights), backbone)
        except (AttributeError, AssertionError, KeyError, RuntimeError, ValueError) as error:
            raise _misfit(f"{type(error).__name__}: {error}", where) from None
    heads = _classifiers(backbone)
    weights = {k: v for k, v in weights.items() if not k.startswith(heads)}
    fresh = {
        f"{name}.{key}"
        for name, module in backbone.named_modules()
        if isinstance(module, GlobalContext)
        for key in module.state_dict()
    }
    check_fit(backbone.state_dict(), weights, may_lack=fresh, where=where)
    backbone.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)


def check_fit(
    own: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    *,
    where: object,
    may_lack: Iterable[str] = (),
) -> None:
    """Raise a CairnError unless ``weights`` has the names and shapes of ``own``.

    Args:
        own: The network's state.
        weights: What is to be loaded.
        where: Where the weights come from.
        may_lack: Names that may be absent (batch norm's step counters always may).
    """
    optional = set(may_lack)
    missing = [
        k for k in own if not (k in weights or k in optional or k.endswith("num_batches_tracked"))
    ]
    foreign = [k for k in weights if k not in own and not k.endswith("num_batches_tracked")]
    misfit = [
        f"{k} {tuple(v.shape)}, not {tuple(own[k].shape)}"
        for k, v in weights.items()
        if k in own and own[k].shape != v.shape
    ]
    found = {"missing": missing, "unknown": foreign, "of another shape": misfit}
    faults = [f"{len(k)} {kind} (such as {k[0]})" for kind, k in found.items() if k]
    if faults:
        raise _misfit(", ".join(faults), where)


def hub_overlay(name: str) -> dict[str, Any]:
    """Return what timm's pretrained settings of ``name`` need so that loading does not linger.

    A file that is in the hub's cache is used without asking the network. Otherwise the hub is
    asked for a sign of life first: its own client repeats itself for most of a minute.

    Raises:
        CairnError: The backbone has no published weights, or they cannot be reached.
    """
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    settings = timm.get_pretrained_cfg(name)
    hub_id, url = (settings.hf_hub_id, settings.url) if settings else (None, None)
    if not hub_id and not url:
        known = timm.list_pretrained(f"{name.partition('.')[0]}*")[:4]
        raise CairnError(
            f"timm has no published weights for {name}",
            where="model.weights",
            todo=f"with weights there are {', '.join(known)}" if known else "train from scratch",
        )
    if not hub_id:
        if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(str(url)).name).is_file():
            _reach(str(url), name, str(url))
        return {}
    repository, _, revision = str(hub_id).partition("@")
    filename = settings.hf_hub_filename or "model.safetensors"
    if filename.endswith(".safetensors"):
        cached = try_to_load_from_cache(repository, filename, revision=revision or None)
        if isinstance(cached, str):
            return {"file": cached, "custom_load": False}
    place = f"{constants.ENDPOINT}/{repository}/resolve/{revision or 'main'}/{filename}"
    _reach(constants.ENDPOINT, name, place)
    return {}


def _reach(url: str, name: str, file: str) -> None:
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "cairn"})
    try:
        urllib.request.urlopen(request, timeout=_REACH_S).close()
    except urllib.error.HTTPError:
        return  # an answer, if not a kind one: timm will say what it gets
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            return  # reached; the hub's client brings its own certificates
        raise CairnError(
            f"cannot reach the weights of {name}: {reason}",
            where=url,
            todo=f"where there is a network, fetch {file} and give the file as model.weights",
        ) from None


def _classifiers(backbone: nn.Module) -> tuple[str, ...]:
    """Return how the names of a classifier begin, which an embedder does without."""
    settings = getattr(backbone, "pretrained_cfg", None) or {}
    names = settings.get("classifier") or "fc"
    own = (names,) if isinstance(names, str) else tuple(names)
    return tuple(f"{name}." for name in own)


def _misfit(reason: str, where: object) -> CairnError:
    return CairnError(
        f"the weights do not fit: {reason}",
        where=where,
        todo="check model.backbone, model.gc and model.backbone_args",
    )
