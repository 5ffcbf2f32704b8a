"""``cairn serve`` against the bare network and against LitServe around the same network.

Run it on an idle machine: ``python benchmarks/serve.py [--backbone NAME] [--side PIXELS]
[--gallery 1000 1000000]``. Load comes from another process on this machine, over loopback: one
connection for the latency of single photographs, many for saturation. The bare network runs with
the same batch sizes before, once on pixels that lie ready, once decoding the same JPEGs by as many
threads. Weights are random: speed does not hang on them.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.embed import encode_all
from cairn.gallery import Gallery, keep_penalty
from cairn.model import build
from cairn.runtime import load_runtime, sample_pictures
from cairn.serve.photographs import preparer
from cairn.tables import EmbeddingTable
from measuring.served import Client, Served, served

LIMITS = "[limits]\nrequests_per_minute = 0\n"
HEADERS = {"Content-Type": "image/jpeg"}
JSON = {"Content-Type": "application/json"}
_SERVED_S = 60.0  # that a change may take to be served
_TRACED = 2  # connections at most, of which every request is told


def load(host: str, port: int, path: str, photo: Path, connections: int, seconds: float) -> None:
    """Ask without a pause over some connections; print rate and latencies as JSON."""
    content, done, bad = photo.read_bytes(), list[float](), list[float]()
    headers = HEADERS
    if path == "/predict":  # LitServe reads JSON
        text = base64.b64encode(content).decode()
        content, headers = (
            json.dumps({"content": text}).encode(),
            JSON,
        )
    target: Any = argparse.Namespace(host=host, port=port)
    until, trace = time.monotonic() + seconds, list[tuple[float, float]]()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    print(flush=True)  # it begins

    def ask() -> None:
        connection = Client(target)
        while time.monotonic() < until and not stopped.is_set():
            begin = time.perf_counter()
            status, _ = connection.send("POST", path, content, headers)
            (done if status == 200 else bad).append(time.perf_counter() - begin)
            trace.append((time.time(), time.perf_counter() - begin))

    begin = time.monotonic()
    crew = [threading.Thread(target=ask) for _ in range(connections)]
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    spent = time.monotonic() - begin
    quantiles = np.percentile(done, [50, 95, 99]) * 1000 if done else [float("nan")] * 3
    found: dict[str, Any] = {"rate": len(done) / spent, "ms": list(quantiles), "refused": len(bad)}
    found["seconds"] = spent
    print(json.dumps({**found, "trace": trace if connections <= _TRACED else []}))


@dataclass(frozen=True)
class Bare:
    """What the network does without a server.

    Args:
        rates: Photographs a second by what was run.
        cpu_ms: Processor milliseconds a photograph of decoding and network in batches.
        decode_ms: One photograph's decoding, alone.
        single_ms: One photograph's way through the network, alone.
    """

    rates: dict[str, float]
    cpu_ms: float
    decode_ms: float
    single_ms: float

    @property
    def network(self) -> float:
        """Photographs a second of the network alone, in large batches."""
        return self.rates["network alone, batches of 32"]

    @property
    def with_decoding(self) -> float:
        """Photographs a second that are decoded too, by as many threads as processors."""
        return self.rates["decoding and network, batches of 32"]


def bare(model: Path, photo: Path, seconds: float) -> Bare:
    """Run the network alone, and with decoding."""
    runtime = load_runtime(model, device="cpu")
    pictures = sample_pictures(runtime.preprocess.image_size)
    found = {}
    for size in (1, 8, 32):
        images = np.resize(pictures, (size, *pictures.shape[1:]))
        runtime(images)
        begin, count = time.perf_counter(), 0
        while (spent := time.perf_counter() - begin) < seconds:
            runtime(images)
            count += size
        found[f"network alone, batches of {size}"] = count / spent
    content = photo.read_bytes()
    prepare = preparer(runtime, max_pixels=50_000_000, max_scans=64)
    times = []
    for _ in range(50):
        begin = time.perf_counter()
        prepare(content)
        times.append(time.perf_counter() - begin)
    begin, busy, count = time.perf_counter(), time.process_time(), 0
    while (spent := time.perf_counter() - begin) < seconds:
        encode_all(runtime, [content] * 128, batch_size=32)
        count += 128
    found["decoding and network, batches of 32"] = count / spent
    cpu_ms = (time.process_time() - busy) / count * 1000
    single_ms = 1000 / found["network alone, batches of 1"]
    return Bare(found, cpu_ms, float(np.median(times)) * 1000, single_ms)


def make(root: Path, model: Path, rows: int, *, num_bank: int = 0) -> Path:
    """Write a gallery of random vectors, penalized by a bank of random ones where there is one."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((rows, 512), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"image{row}" for row in range(rows)]
    landmarks = [f"landmark{row // 10}" for row in range(rows)]
    table = EmbeddingTable(ids, landmarks, ids, vectors, model_fingerprint(model))
    table.write(root / f"e{rows}")
    Gallery.build(root / f"e{rows}", model, root / f"g{rows}")
    shutil.rmtree(root / f"e{rows}")
    if num_bank:
        bank = random.standard_normal((num_bank, 512), dtype=np.float32)
        bank /= np.linalg.norm(bank, axis=1, keepdims=True)
        names = [f"bank{row}" for row in range(num_bank)]
        nobody = [""] * num_bank
        keep_penalty(
            root / f"g{rows}", EmbeddingTable(names, nobody, names, bank, table.fingerprint)
        )
    return root / f"g{rows}"


def asked(target: Served | Any, path: str, photo: Path, connections: int, seconds: float) -> Any:
    """Return what a load from another process measured."""
    words = [sys.executable, __file__, "--load", target.host, str(target.port), path, str(photo)]
    done = subprocess.run(
        [*words, str(connections), str(seconds)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def changing(server: Served, photo: Path, seconds: float) -> None:
    """Print what requests of two connections take while the gallery changes, and before."""
    content = photo.read_bytes() + os.urandom(8)
    image_id = hashlib.sha256(content).hexdigest()[:32]
    into = json.dumps({"into": "landmark2"}).encode()
    for name, method, path, body, headers in (
        ("add", "POST", "/v1/landmarks/landmark0/images", content, HEADERS),
        ("remove", "DELETE", f"/v1/images/{image_id}", None, {}),
        ("remove another", "DELETE", "/v1/images/image100", None, {}),
        ("merge", "POST", "/v1/landmarks/landmark1/merge", into, JSON),
    ):
        change(server, photo, seconds, name, (method, path, body, headers))


def change(server: Served, photo: Path, seconds: float, name: str, words: Any) -> None:
    """Change the gallery under the load of two connections, and print what they took."""
    load_words = [sys.executable, __file__, "--load", server.host, str(server.port)]
    load_words += ["/v1/recognize", str(photo), "2", "600"]
    process = subprocess.Popen(load_words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    held, most = server.rss_mib(), 0.0
    threading.Event().wait(seconds / 3)
    wanted, busy = server.ask("/readyz")["version"] + 1, server.cpu_s()
    begin = time.time()
    answers: list[Any] = []
    thread = threading.Thread(
        target=lambda: answers.append(Client(server, timeout_s=600).send(*words))
    )
    thread.start()
    while thread.is_alive():
        thread.join(0.05)
        most = max(most, server.rss_mib())
    answered = time.time()
    while server.ask("/readyz")["version"] < wanted and time.time() < answered + _SERVED_S:
        threading.Event().wait(0.02)
        most = max(most, server.rss_mib())
    is_served = server.ask("/readyz")["version"] >= wanted
    end, busy = time.time(), server.cpu_s() - busy
    process.terminate()
    output, _ = process.communicate()
    trace = np.array(json.loads(output)["trace"])
    starts, ends = trace[:, 0] - trace[:, 1], trace[:, 0]
    shown = []
    for chosen in (ends < begin, (ends >= begin) & (starts <= end)):
        ms = trace[chosen, 1] * 1000
        quantiles = np.percentile(ms, [50, 95, 99, 100]) if len(ms) else [np.nan] * 4
        shown.append(f"{len(ms)} requests " + " / ".join(f"{q:.0f}" for q in quantiles))
    print(
        f"  {name}: p50 / p95 / p99 / most ms before {shown[0]}, meanwhile {shown[1]}; answered "
        f"{answers[0][0]} after {answered - begin:.2f} s, "
        + (f"served after {end - begin:.2f} s" if is_served else "NOT SERVED")
        + f"; {busy:.1f} s of processor in all; memory {held:.0f} MiB, at most {most:.0f}",
        flush=True,
    )


def lit_running(model: Path, port: int, max_batch: int) -> subprocess.Popen[bytes]:
    """Start LitServe and wait until it answers."""
    script = Path(__file__).parent / "measuring" / "lit.py"
    words = [sys.executable, str(script), str(model), str(port), str(max_batch)]
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    connection = Client(argparse.Namespace(host="127.0.0.1", port=port))  # type: ignore[arg-type]
    for _ in range(600):
        try:
            if connection.send("GET", "/health")[0] == 200:
                return process
        except OSError:
            pass
        time.sleep(0.5)
    raise SystemExit("LitServe did not start")


def row(
    name: str, one: Any, saturated: Any, alone: Bare, memory: str = "", cpu_s: float | None = None
) -> None:
    """Print a line of the table."""
    rate, p50 = saturated["rate"], one["ms"][0]
    photos = max(1, round(rate * saturated["seconds"]))
    busy = "" if cpu_s is None else f"{cpu_s / photos * 1000:.1f}"
    print(
        f"| {name} | {p50:.1f} | {p50 - alone.decode_ms - alone.single_ms:.1f} | {rate:.1f} | "
        f"{rate / alone.network:.2f} | {rate / alone.with_decoding:.2f} | "
        + " / ".join(f"{value:.0f}" for value in saturated["ms"])
        + f" | {busy} | {saturated['refused']} | {memory} |",
        flush=True,
    )


def main() -> None:
    if sys.argv[1:2] == ["--load"]:
        host, port, path, photo, connections, seconds = sys.argv[2:]
        load(host, int(port), path, Path(photo), int(connections), float(seconds))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--backbone", default="resnext_small")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--photo", type=int, default=640, help="Longer side of the JPEG sent.")
    parser.add_argument("--gallery", type=int, nargs="*", default=[1000])
    parser.add_argument("--approximate", action="store_true", help="Also through a tuned index.")
    parser.add_argument("--penalized", type=int, default=0, metavar="N", help="By a bank of N.")
    parser.add_argument("--connections", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--no-lit", action="store_true")
    wishes = parser.parse_args()
    loaded = os.getloadavg()[0]
    print(
        f"{wishes.backbone}, {wishes.side} px, JPEG of {wishes.photo} px, "
        f"{len(os.sched_getaffinity(0))} processors shared with the load, load average "
        f"{loaded:.1f} before the run{' (not idle)' if loaded > 0.5 else ''}"
    )
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), wishes)


def measure(root: Path, wishes: argparse.Namespace) -> None:
    """Print the table."""
    from PIL import Image

    torch.manual_seed(0)
    config = ModelConfig(backbone=wishes.backbone, preprocess=Preprocess(image_size=wishes.side))
    save_model(root / "model", build(config), config)
    pixels = sample_pictures(wishes.photo)[1].transpose(1, 2, 0)[: wishes.photo * 3 // 4]
    photo = root / "photo.jpg"
    Image.fromarray(np.clip(pixels * 48 + 128, 0, 255).astype(np.uint8)).save(photo)
    alone = bare(root / "model", photo, wishes.seconds / 3)
    for name, rate in alone.rates.items():
        print(f"{name}: {rate:.1f} photographs/s ({1000 / rate:.1f} ms each)")
    print(
        f"decoding one: {alone.decode_ms:.1f} ms; decoding and network cost {alone.cpu_ms:.1f} ms "
        "of processor a photograph"
    )
    print(
        "\n| | p50 ms, one connection | above decoding and network, ms | photographs/s, saturated "
        "| of the network alone | of decoding and network | p50 / p95 / p99 ms | processor ms a "
        "photograph | refused | MiB |\n|---|" + "---:|" * 9
    )
    if not wishes.no_lit:
        process = lit_running(root / "model", 18_731, 32)
        target = argparse.Namespace(host="127.0.0.1", port=18_731)
        one = asked(target, "/predict", photo, 1, wishes.seconds / 3)
        many = asked(target, "/predict", photo, wishes.connections, wishes.seconds)
        row("LitServe, no gallery", one, many, alone)
        os.killpg(process.pid, signal.SIGKILL)  # its workers too
        process.wait()
    for rows in wishes.gallery:
        place = make(root, root / "model", rows, num_bank=wishes.penalized)
        ways = ["exact"]
        if wishes.approximate:
            words = [sys.executable, "-m", "cairn", "gallery", "tune", str(place)]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            ways.append("approximate")
        for way in ways:
            if way == "approximate" and not (place / "indexes").is_dir():
                print(f"| Cairn, {rows:,} images, {way}: exact search is quicker |")
                continue
            with served(place, config=LIMITS, options=["--search", way]) as server:
                path = "/v1/recognize"
                one = asked(server, path, photo, 1, wishes.seconds / 3)
                busy = server.cpu_s()
                many = asked(server, path, photo, wishes.connections, wishes.seconds)
                name, busy = f"Cairn, {rows:,} images, {way}", server.cpu_s() - busy
                name += f", bank of {wishes.penalized:,}" if wishes.penalized else ""
                row(name, one, many, alone, f"{server.rss_mib():.0f}", busy)
                changing(server, photo, wishes.seconds)


if __name__ == "__main__":
    main()
