"""LitServe: one worker around the packaged model's ``predict_rows``; the first argument is the port.

Annotations are not put off here: LitServe reads the type of ``request`` from them.
"""

import sys
from typing import Any

import litserve
import packaged


class Flights(litserve.LitAPI):
    """The flagship."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load the model in the worker's process."""
        self._model = packaged.load()

    def decode_request(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows."""
        return list(request["rows"])

    def predict(self, x: list[dict[str, Any]]) -> list[float]:
        """Predictions in the order of the rows."""
        return list(self._model.predict_rows(x))

    def encode_response(self, output: list[float]) -> dict[str, Any]:
        """The answer's JSON."""
        return {"predictions": output}


if __name__ == "__main__":
    server = litserve.LitServer(Flights(), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="warning"
    )
