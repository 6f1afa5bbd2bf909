"""What a finished network needs to become a bundle: its ONNX file, model card, known picture and provenance."""
