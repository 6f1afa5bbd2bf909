"""The parts of a bundle besides the network: its ONNX file, model card, known picture and provenance."""
