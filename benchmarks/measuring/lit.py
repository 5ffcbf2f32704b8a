"""LitServe around a Cairn model, same decoding and batches: ``lit.py MODEL PORT BATCH``."""

import base64
import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from fastapi import Request

from cairn.runtime import load_runtime
from cairn.serve.photographs import preparer

WAIT_S = 0.002


class Api(litserve.LitAPI):  # type: ignore[misc]
    """Photographs in base64 to the first numbers of their embeddings."""

    def setup(self, device: str) -> None:
        """Load the model, in LitServe's worker."""
        self.runtime = load_runtime(Path(sys.argv[1]), device="cpu")
        self.make = preparer(self.runtime, max_pixels=50_000_000, max_scans=64)

    def decode_request(self, request: Request) -> Any:
        """Return pixels; LitServe hands over the JSON of what it is told is a request."""
        sent: Any = request
        return self.make(base64.b64decode(sent["content"]))

    def batch(self, inputs: Any) -> Any:
        """Return a batch."""
        return np.stack(inputs)

    def predict(self, images: Any) -> Any:
        """Return embeddings."""
        return self.runtime(images)

    def unbatch(self, output: Any) -> Any:
        """Return the embeddings one by one."""
        return list(output)

    def encode_response(self, output: Any) -> Any:
        """Return what is sent."""
        return {"vector": output[:8].tolist()}


def main() -> None:
    api = Api(max_batch_size=int(sys.argv[3]), batch_timeout=WAIT_S)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="error"
    )


if __name__ == "__main__":
    main()
