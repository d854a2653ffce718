"""What MLServer runs the model with: its own runtime interface around onnxruntime. Loaded by
the server's process, in an environment of its own.
"""

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    """An ONNX file behind the Open Inference Protocol."""

    async def load(self) -> bool:
        self.session = onnxruntime.InferenceSession(
            self.settings.parameters.uri, providers=["CPUExecutionProvider"]
        )
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        inputs = {i.name: NumpyCodec.decode_input(i).astype(np.float32) for i in payload.inputs}
        names = [o.name for o in self.session.get_outputs()]
        arrays = self.session.run(names, inputs)
        outputs = [
            NumpyCodec.encode_output(name, value) for name, value in zip(names, arrays, strict=True)
        ]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
