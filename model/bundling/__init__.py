"""The parts of a bundle besides the network: its ONNX file, refusal, model card, known picture and provenance."""
