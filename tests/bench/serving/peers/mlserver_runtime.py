"""MLServer: a runtime of our own around the packaged model's ``predict_rows``; V2 requests with a tensor a column."""

from __future__ import annotations

import packaged
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Flights(MLModel):
    """The flagship."""

    async def load(self) -> bool:
        """Load the model in the server's process."""
        self._model = packaged.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predictions in the order of the tensors' elements."""
        names = [tensor.name for tensor in payload.inputs]
        columns = [tensor.data.root for tensor in payload.inputs]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        predictions = list(self._model.predict_rows(rows))
        output = ResponseOutput(name="prediction", shape=[len(predictions)], datatype="FP64", data=predictions)
        return InferenceResponse(model_name=self.name, outputs=[output])
