"""The parts of `pir_serve.prompt`: safe encoding, chat templates, decoding, the checkpoint's contract."""
