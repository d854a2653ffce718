"""What the gateway listens on: frames by gRPC and MQTT, the Open Inference Protocol, operators."""
