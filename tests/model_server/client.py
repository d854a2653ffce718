"""An existing client of the Open Inference Protocol: MLServer's own stubs, in its own
environment. Usage: client.py PORT FOLDER FRAME PART_TYPE.
"""

import json
import sys
from pathlib import Path

import grpc
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

port, folder, frame, part_type = (
    sys.argv[1],
    Path(sys.argv[2]),
    Path(sys.argv[3]).read_bytes(),
    sys.argv[4].encode(),
)
credentials = grpc.ssl_channel_credentials(
    *((folder / n).read_bytes() for n in ("root.pem", "key.pem", "certificate.pem"))
)
with grpc.secure_channel(
    f"127.0.0.1:{port}",
    credentials,
    (("grpc.ssl_target_name_override", "gw1.line-1.gateway.framegate"),),
) as channel:
    stub = GRPCInferenceServiceStub(channel)
    assert stub.ServerLive(pb.ServerLiveRequest(), timeout=10).live
    ready = stub.ModelReady(pb.ModelReadyRequest(name="framegate"), timeout=10).ready
    described = stub.ModelMetadata(pb.ModelMetadataRequest(name="framegate"), timeout=10)
    request = pb.ModelInferRequest(model_name="framegate", id="one")
    for name, value in (("frame", frame), ("part_type", part_type)):
        request.inputs.add(name=name, datatype="BYTES", shape=[1]).contents.bytes_contents.append(
            value
        )
    answer = stub.ModelInfer(request, timeout=20)
    outputs = {o.name: o for o in answer.outputs}
    print(
        json.dumps(
            {
                "ready": ready,
                "version": answer.model_version,
                "versions": list(described.versions),
                "boxes": list(outputs["boxes"].contents.fp32_contents),
                "scores": list(outputs["scores"].contents.fp32_contents),
                "classes": [c.decode() for c in outputs["classes"].contents.bytes_contents],
            }
        )
    )
