"""PIR gateway: reasoning models that stop mid-reasoning, ask the user, and go on with the reply."""

__version__ = "0.1.0"
__all__ = ["__version__"]
