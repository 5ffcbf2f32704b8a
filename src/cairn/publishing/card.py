"""The card of a published gallery: what it is, how good it was measured to be, how to use it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cairn.calibration import Calibration, report
from cairn.checkpoint import read_config
from cairn.gallery import Gallery
from cairn.joint import is_joint, member_folders, read_joint

_SHOWN = 8
_FEW = 5


def card_of(
    gallery: Gallery, calibrations: Sequence[Calibration], *, title: str, license: str = ""
) -> str:
    """Return the card as Markdown, with the front matter that the hub reads.

    Args:
        gallery: What is published, loaded with its penalty.
        calibrations: Those that hold for it.
        title: The heading.
        license: SPDX identifier, or "" for none stated.
    """
    sizes = Counter(gallery.table.landmark_ids)
    few = sum(count <= _FEW for count in sizes.values()) / len(sizes)
    lines = [
        *_front_matter(license),
        f"# {_plain(title)}",
        "",
        f"A [Cairn](https://pypi.org/project/cairn-landmarks/) gallery: {len(gallery.table):,} "
        f"photographs of {len(sizes):,} landmarks as embeddings, with the model that makes those "
        "of a query. It names the landmark that a photograph shows"
        + (", and says when it shows none." if calibrations else "."),
        "",
        "```python",
        "import cairn",
        "",
        'recognizer = cairn.Recognizer.load("gallery")  # what `cairn pull` wrote',
        'print(recognizer("photograph.jpg"))',
        "```",
        "",
        "## What is in it",
        "",
        *_model(gallery),
        f"- landmarks: {len(sizes):,}; {few:.0%} of them with at most {_FEW} photographs, "
        f"the largest with {max(sizes.values()):,}: {_examples(gallery, sizes)}",
        f"- penalty: {_penalty(gallery)}",
        f"- version {gallery.version} of the gallery, content `{gallery.content_key}`",
        "- no photographs: embeddings, ids, names and credits only",
        *_licences(gallery),
        "",
        "## How good it is",
        "",
        *_quality(calibrations),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _front_matter(license: str) -> list[str]:
    stated = [f"license: {json.dumps(license)}"] if license else []
    return [
        "---",
        "library_name: cairn",
        "pipeline_tag: image-feature-extraction",
        *stated,
        "tags:",
        "- cairn",
        "- landmark-recognition",
        "- image-retrieval",
        "- open-set-recognition",
        "---",
        "",
    ]


def _model(gallery: Gallery) -> list[str]:
    """Return what makes the embeddings: one network, or the members of a joint model."""
    folder, size = gallery.model_dir, f"{gallery.table.dimension} dimensions"
    named = f"{size}, fingerprint `{gallery.table.fingerprint}`"
    if not is_joint(folder):
        network, seen = _network(folder)
        return [f"- model: {network}, {named}", f"- input: {seen}"]
    weights = read_joint(folder).weights
    lines = [f"- model: {len(weights)} together, their weighted vectors joined, {named}"]
    for weight, member in zip(weights, member_folders(folder), strict=True):
        network, seen = _network(member)
        lines.append(f"- its member of weight {weight:.3g}: {network}; input: {seen}")
    return lines


def _network(folder: Path) -> tuple[str, str]:
    config = read_config(folder)
    pre = config.preprocess
    context = " with Global Context blocks" if config.gc else ""
    return (
        f"{config.backbone}{context}, {config.pool} pooling",
        f"{pre.image_size} x {pre.image_size} pixels, {pre.resize}"
        + (f", {pre.views}" if pre.has_views else ""),
    )


def _examples(gallery: Gallery, sizes: Counter[str]) -> str:
    shown = [
        _plain(gallery.landmark(landmark_id).name or landmark_id)
        for landmark_id, _ in sizes.most_common(_SHOWN)
    ]
    return ", ".join(shown) + (", ..." if len(sizes) > _SHOWN else "")


def _penalty(gallery: Gallery) -> str:
    if gallery.penalty is None:
        return "none"
    rule = gallery.penalty.rule
    hit = int((gallery.penalty.penalty > 0).sum())
    return (
        f"{gallery.penalty.bank_size:,} non-landmarks penalize {hit:,} photographs (min_n "
        f"{rule.min_n}, max_n {rule.max_n}, {rule.min_pro:g} to {rule.max_pro:g}, {rule.ramp}, "
        f"strength {rule.strength:g})"
    )


def _licences(gallery: Gallery) -> list[str]:
    if gallery.about_images is None:
        return []
    counts = Counter(gallery.about_images["license"].to_pylist())
    stated = [f"{_plain(name)} ({num:,})" for name, num in counts.most_common(_SHOWN) if name]
    if not stated:
        return []
    more = ", ..." if len(counts) > _SHOWN else ""
    return [f"- licences of the photographs embedded: {', '.join(stated)}{more}"]


def _quality(calibrations: Sequence[Calibration]) -> list[str]:
    if not calibrations:
        return ["Not stated: the gallery has no calibration (`cairn calibrate` makes one)."]
    lines = []
    for one in calibrations:
        value = report(one)
        how = [
            "with the penalty" if one.basis.penalty else "without a penalty",
            f"{one.basis.search} search",
            *(["re-ranked"] if one.basis.stages else []),
        ]
        at, share = value["threshold"]["value"], one.judged.known_share
        lines += [
            f"On {value['num_queries']:,} validation photographs, {value['num_unknown']:,} of them "
            f"of no landmark in the gallery ({', '.join(how)}):",
            "",
            "| figure | value |",
            "|---|---|",
            f"| right landmark, of the known | {value['accuracy']:.3f} |",
            f"| AUROC, known against unknown | {value['auroc']:.3f} |",
            f"| false positives at 95 % true positives | {value['fpr95']:.3f} |",
            f"| OSCR, area | {value['oscr']:.3f} |",
            f"| calibration error (ECE) | {value['ece']:.3f} |",
            f"| threshold on the chance | {at:.3f} |",
            "",
            "Chances hold for about that share of unknown photographs."
            if share is None
            else f"Chances hold where {share:.3g} of the photographs show a landmark of it.",
            "",
        ]
    return lines


def _plain(text: str) -> str:
    """Return a text that Markdown shows as it stands, on one line."""
    one_line = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|" else sign for sign in one_line)
